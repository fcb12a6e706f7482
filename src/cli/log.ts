import type { Logger } from 'pino';
import { escapeControls } from '../elf/bytes.js';
import { LOG_LEVELS, type LogFlags, type LogLevel, levelOf } from './log-options.js';

export type Log = (
  level: Exclude<LogLevel, 'silent'>,
  fields: Readonly<Record<string, unknown>>,
  message: string,
) => Promise<void>;

/**
 * A log whose logger is loaded with the first message: most runs have none, and it would double their start-up.
 *
 * @param before is called before a message appears.
 */
export function lazyLog(flags: LogFlags, before: () => void): Log {
  const least = levelOf(flags);
  let logger: Logger | undefined;
  return async (level, fields, message) => {
    if (LOG_LEVELS.indexOf(level) < LOG_LEVELS.indexOf(least)) return;
    const { createLogger } = await import('./logger.js');
    logger ??= createLogger(least, flags.logFormat);
    before();
    logger[level](safe(fields), escapeControls(message));
  };
}

function safe(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      typeof value === 'string' ? escapeControls(value) : value,
    ]),
  );
}
