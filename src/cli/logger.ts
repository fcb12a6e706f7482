import { type Logger, pino } from 'pino';
import pretty from 'pino-pretty';
import type { LogFormat, LogLevel } from './log-options.js';

/** Logs go to standard error, each line written before the next statement runs. */
export function createLogger(level: LogLevel, format: LogFormat): Logger {
  if (format === 'json') return pino({ level, base: null }, pino.destination({ dest: 2, sync: true }));
  return pino({ level, base: null }, pretty({ ...PRETTY, destination: 2, sync: true }));
}

/** `elfnote: PATH: what is wrong`, with the level in front where it is not an error. */
const PRETTY: pretty.PrettyOptions = {
  colorize: false,
  hideObject: true,
  ignore: 'level,time,path',
  messageFormat: (log, messageKey) => {
    const path = typeof log.path === 'string' ? `${log.path}: ` : '';
    return `elfnote: ${LEVEL_WORDS.get(log.level) ?? ''}${path}${String(log[messageKey])}`;
  },
};

const LEVEL_WORDS: ReadonlyMap<unknown, string> = new Map([
  [10, 'trace: '],
  [20, 'debug: '],
  [30, 'info: '],
  [40, 'warning: '],
]);
