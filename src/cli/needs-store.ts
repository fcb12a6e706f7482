import { ElfnoteError } from '../errors.js';
import { storeRoots } from '../lookup.js';

/**
 * What is recorded of the system, or trusted, is so for what is in stores.
 * @throws ElfnoteError `usage` where no store is known, and the option would say nothing.
 */
export function refuseWithoutStore(flags: {
  readonly storeDir?: readonly string[] | undefined;
  readonly systemLibraries?: boolean | undefined;
  readonly trustStore?: boolean;
}): void {
  if (storeRoots({ storeDirs: flags.storeDir }) !== undefined) return;
  const given = [
    flags.systemLibraries === true ? '--system-libraries' : '',
    flags.trustStore === true ? '--trust-store' : '',
  ].find(name => name !== '');
  if (given !== undefined)
    throw new ElfnoteError(
      'usage',
      `${given} needs --store-dir: the directories whose contents never change`,
    );
}
