import type { ByteString } from '../elf/bytes.js';

/** What stands for the dynamic string tokens of one object; undefined where the loader has no value. */
export interface Tokens {
  readonly ORIGIN: ByteString | undefined;
  readonly LIB: ByteString | undefined;
  readonly PLATFORM: ByteString | undefined;
}

/** `${NAME}`, or `$NAME` where no letter, digit or underscore follows (`is_dst` of elf/dl-load.c). */
const TOKEN = /\$(?:\{(ORIGIN|PLATFORM|LIB)\}|(ORIGIN|PLATFORM|LIB)(?![A-Za-z0-9_]))/g;

/**
 * Replaces `$ORIGIN`, `$LIB` and `$PLATFORM`; any other `$` stays.
 * @returns undefined where a token has no value: the loader then discards the whole path.
 */
export function expandTokens(text: ByteString, tokens: Tokens): ByteString | undefined {
  if (!text.includes('$')) return text;
  let known = true;
  const expanded = text.replace(TOKEN, (_, curly: string | undefined, plain: string | undefined) => {
    const replacement = tokenValue(curly ?? plain ?? '', tokens);
    known &&= replacement !== undefined;
    return replacement ?? '';
  });
  return known ? expanded : undefined;
}

function tokenValue(name: string, { ORIGIN, LIB, PLATFORM }: Tokens): ByteString | undefined {
  if (name === 'ORIGIN') return ORIGIN;
  return name === 'LIB' ? LIB : PLATFORM;
}

/**
 * What the tokens stand for in an object.
 * @param path by which it was opened, not its real path.
 */
export function tokensOf(
  path: ByteString,
  workingDirectory: ByteString,
  LIB: ByteString | undefined,
  PLATFORM: ByteString | undefined,
): Tokens {
  const absolute = path.startsWith('/') ? path : `${workingDirectory}/${path}`;
  return { ORIGIN: absolute.slice(0, absolute.lastIndexOf('/')) || '/', LIB, PLATFORM };
}
