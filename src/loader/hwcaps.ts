import type { ByteString } from '../elf/bytes.js';
import { ElfnoteError } from '../errors.js';
import type { Architecture } from './architectures.js';

/** What decides which subdirectories of each directory the loader searches first. */
export interface Processor {
  /** Subdirectories of `glibc-hwcaps`, best first. */
  readonly levels: readonly string[];
  /** Of the older kind, in the order of their bits. */
  readonly capabilities: readonly string[];
  readonly platform: string | undefined;
}

/** From 2.33 on glibc searches `glibc-hwcaps`, and up to 2.36 the older subdirectories. */
const FIRST_WITH_LEVELS = 33;
const LAST_WITH_LEGACY = 36;

/**
 * The subdirectories that the loader searches in each directory, in order; the directory itself is the empty one at
 * the end. Each other ends with a slash.
 * @param glibc the minor version of glibc 2.
 */
export function subdirectoriesOf(processor: Processor, glibc: number): ByteString[] {
  const levels = glibc < FIRST_WITH_LEVELS ? [] : processor.levels.map(name => `glibc-hwcaps/${name}/`);
  return [...levels, ...(glibc > LAST_WITH_LEGACY ? [''] : legacySubdirectories(processor))];
}

/**
 * Every combination of capabilities, platform and `tls`, the largest first (`_dl_important_hwcaps`, elf/dl-hwcaps.c):
 * bit n of an index leaves the n-th name out, and the last name stands first in a path. A name that is both capability
 * and platform comes twice, and the loader searches it twice.
 */
function legacySubdirectories({ capabilities, platform }: Processor): ByteString[] {
  const names = [...capabilities, ...(platform === undefined ? [] : [platform]), 'tls'];
  return Array.from({ length: 2 ** names.length }, (_, index) =>
    names
      .map((name, bit) => ((index >> bit) % 2 === 0 ? `${name}/` : ''))
      .reverse()
      .join(''),
  );
}

/** Where the kernel says nothing of the platform (`AT_PLATFORM`), as qemu on some machines. */
const NO_PLATFORM = 'no-platform';

/**
 * The processor that `--hwcaps` names.
 * @param names separated by commas; a level of `glibc-hwcaps` brings the lower ones with it. `none`: the least;
 * `no-platform`: no `AT_PLATFORM`.
 * @throws ElfnoteError `usage` for a name that is none of this architecture's.
 */
export function processorNamed(names: string, architecture: Architecture): Processor {
  const given = new Set(names.split(',').filter(name => name !== '' && name !== 'none'));
  const { levels, capabilities, always, platforms } = architecture;
  const known = [...levels.map(({ name }) => name), ...capabilities, ...platforms];
  const unknown = [...given].find(name => name !== NO_PLATFORM && !known.includes(name));
  if (unknown !== undefined) {
    const choice = known.length === 0 ? 'there are none' : `they are ${known.join(', ')}`;
    throw new ElfnoteError(
      'usage',
      `'${unknown}' is no processor capability of ${architecture.name}: ${choice}`,
    );
  }
  const best = levels.findIndex(({ name }) => given.has(name));
  return {
    levels: best < 0 ? [] : levels.slice(best).map(({ name }) => name),
    capabilities: capabilities.filter(name => always.includes(name) || given.has(name)),
    platform: given.has(NO_PLATFORM) ? undefined : platformNamed(given, architecture),
  };
}

/** Of a name that is a capability too (`x86_64`), the capability is meant. */
function platformNamed(
  given: ReadonlySet<string>,
  { capabilities, platforms }: Architecture,
): string | undefined {
  return platforms.find(name => given.has(name) && !capabilities.includes(name)) ?? platforms[0];
}

/**
 * This machine's processor, as the kernel describes it.
 * @param cpuinfo of the first processor in /proc/cpuinfo.
 */
export function processorOf(cpuinfo: string, architecture: Architecture): Processor {
  const field = (name: RegExp) =>
    new RegExp(`^(?:${name.source})\\s*:\\s*(.*)$`, 'mi').exec(cpuinfo)?.[1] ?? '';
  const flags = new Set(field(/flags|features/).split(/\s+/));
  const power = /^POWER(\d+)/i.exec(field(/cpu/))?.[1];
  for (const generation of [9, 10]) if (Number(power) >= generation) flags.add(`power${generation}`);
  const isIntel = field(/vendor_id/) === 'GenuineIntel';
  if (isIntel && has(flags, WIDE) && !flags.has('avx512er')) flags.add('avx512_1');
  const { levels, capabilities, always, platforms } = architecture;
  const missing = levels.toReversed().findIndex(({ needs }) => !has(flags, needs));
  const active = missing < 0 ? levels.length : missing;
  return {
    levels: levels.slice(levels.length - active).map(({ name }) => name),
    capabilities: capabilities.filter(name => always.includes(name) || flags.has(name)),
    platform: architecture.name === 'x86_64' && isIntel ? intelPlatform(flags) : platforms[0],
  };
}

const WIDE = ['avx512cd', 'avx512bw', 'avx512dq', 'avx512vl'];
const HASWELL = ['avx2', 'bmi1', 'bmi2', 'abm', 'movbe', 'popcnt', 'fma'];

/** `init_cpu_features` (sysdeps/x86/cpu-features.c) gives Intel's processors names of its own. */
function intelPlatform(flags: ReadonlySet<string>): string {
  if (has(flags, ['avx512cd', 'avx512er', 'avx512pf'])) return 'xeon_phi';
  return has(flags, HASWELL) ? 'haswell' : 'x86_64';
}

function has(flags: ReadonlySet<string>, needs: readonly string[]): boolean {
  return needs.every(flag => flags.has(flag));
}

const LEVELS_SAID = /^Subdirectories of glibc-hwcaps directories.*\n((?: {2}.*\n)*)/m;
const LEGACY_SAID = /^Legacy HWCAP subdirectories.*\n((?: {2}.*\n)*)/m;
const PLATFORM_SAID = /^ {2}(\S+) \(AT_PLATFORM;/m;

/**
 * A processor as a loader of its machine knows it (elf/dl-usage.c).
 * @param help what `ld.so --help` says; up to glibc 2.36 of the older subdirectories too.
 * @param described what counts where it says nothing.
 */
export function processorSaid(help: string, described: Processor, architecture: Architecture): Processor {
  const levels = LEVELS_SAID.exec(help)?.[1];
  const legacy = LEGACY_SAID.exec(help)?.[1];
  return {
    levels:
      levels === undefined
        ? described.levels
        : architecture.levels.map(({ name }) => name).filter(name => isSupported(levels, name)),
    capabilities:
      legacy === undefined
        ? described.capabilities
        : architecture.capabilities.filter(name => isSupported(legacy, name)),
    platform: legacy === undefined ? described.platform : PLATFORM_SAID.exec(legacy)?.[1],
  };
}

function isSupported(said: string, name: string): boolean {
  return said.split('\n').some(line => line.startsWith(`  ${name} (supported`));
}
