export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type LogFormat = 'pretty' | 'json';

export interface LogFlags {
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  readonly logLevel?: LogLevel;
  readonly logFormat: LogFormat;
}

export function levelOf({ logLevel, quiet, verbose }: LogFlags): LogLevel {
  return logLevel ?? (quiet ? 'error' : verbose ? 'debug' : 'warn');
}
