import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Encoding } from '../../src/elf/bytes.js';
import { EHDR } from '../../src/elf/structs.js';
import { FIXTURES, runOk } from './cli.js';
import { Elf } from './elf-reader.js';
import { EXTENT, isInQuick, RUN } from './extent.js';
import { BSS_C, GO, MAIN_C, PAYLOAD_C, PAYLOAD_TEXT, RUST, SAYS } from './matrix-program.js';
import { architecture } from './programs.js';
import { needs, type Skip, toolPath } from './tools.js';
import {
  type Cell,
  type Form,
  type Kit,
  LINKERS,
  type Linker,
  type Target,
  type Unsupported,
  type Workshop,
} from './workshop.js';

const NATIVE = { cc: 'gcc', prefix: '', emulator: undefined, unsupported: {} };

function cross(name: string, triple: string, unsupported: Unsupported = {}): Target {
  const { qemu, libDir } = architecture(name);
  return { name, cc: `${triple}-gcc`, prefix: `${triple}-`, emulator: { qemu, libDir }, unsupported };
}

const NO_GOLD = 'gold does not link for this machine';
const NO_LLD = 'lld 14 does not link for this machine';
const NO_MOLD = 'mold 1.10 does not link for this machine';

export const X86_64: Target = { name: 'x86_64', ...NATIVE };
export const MUSL: Target = { name: 'x86_64-musl', ...NATIVE, cc: 'musl-gcc', noUnwinder: LINKERS };
export const FOREIGN: readonly Target[] = [
  cross('i686', 'i686-linux-gnu'),
  cross('aarch64', 'aarch64-linux-gnu'),
  cross('armhf', 'arm-linux-gnueabihf'),
  cross('riscv64', 'riscv64-linux-gnu', {
    gold: NO_GOLD,
    'lld pie': 'lld 14 cannot link the start code of this machine (R_RISCV_ALIGN)',
  }),
  cross('s390x', 's390x-linux-gnu', { lld: NO_LLD }),
  cross('ppc64le', 'powerpc64le-linux-gnu'),
  cross('powerpc', 'powerpc-linux-gnu'),
  { ...cross('mips', 'mips-linux-gnu', { mold: NO_MOLD }), noUnwinder: ['lld'] },
];

interface Variant {
  readonly name: string;
  readonly options: readonly string[];
}

const PLAIN: Variant = { name: '', options: [] };
const STRIPPED: Variant = { name: ' stripped', options: ['-s'] };
const NO_BUILD_ID: Variant = { name: ' no-build-id', options: ['-Wl,--build-id=none'] };
const maxPage = (size: number): Variant => ({
  name: ` max-page-${size}`,
  options: [`-Wl,-z,max-page-size=${size}`],
});
const NO_SEPARATE_CODE: Variant = { name: ' noseparate-code', options: ['-Wl,-z,noseparate-code'] };
const VARIANTS: Readonly<Record<Form, readonly Variant[]>> = {
  pie: [PLAIN, STRIPPED, NO_SEPARATE_CODE, maxPage(4096), maxPage(65536), maxPage(2097152), NO_BUILD_ID],
  nopie: [PLAIN, STRIPPED, maxPage(65536)],
  shared: [PLAIN, STRIPPED, NO_SEPARATE_CODE, maxPage(2097152), NO_BUILD_ID],
};

/** Options that a linker warns of and ignores make no cell of their own. */
const IGNORED: readonly { linker: Linker; variant: string; why: string }[] = [
  { linker: 'gold', variant: ' noseparate-code', why: 'gold has no -z separate-code to turn off' },
];

function linkerTool(target: Target, linker: Linker): string {
  if (linker === 'lld') return 'ld.lld';
  if (linker === 'mold') return 'mold';
  return `${target.prefix}ld.${linker}`;
}

function skipFor(target: Target, linker: Linker, form: Form): Skip {
  const why = target.unsupported[linker] ?? target.unsupported[`${linker} ${form}`];
  if (why !== undefined) return why;
  const { emulator } = target;
  return needs(
    target.cc,
    linkerTool(target, linker),
    ...(emulator === undefined ? [] : [emulator.qemu, emulator.libDir]),
  );
}

const NO_UNWIND = ['-DNO_UNWIND', '-fno-unwind-tables', '-fno-asynchronous-unwind-tables'];

function mainObject(kit: Kit, linker: Linker, form: Form): string {
  return kit.target.noUnwinder?.includes(linker)
    ? kit.object(MAIN_C, 'main-no-unwind', form, NO_UNWIND)
    : kit.object(MAIN_C, 'main', form);
}

function plainCell(target: Target, linker: Linker, form: Form, variant: Variant): Cell {
  const ignored = IGNORED.find(entry => entry.linker === linker && entry.variant === variant.name);
  return {
    name: `${target.name} ${linker} ${form}${variant.name}`,
    target,
    form,
    skip: ignored?.why ?? skipFor(target, linker, form),
    says: SAYS,
    build(shop, file) {
      const kit = shop.kit(target);
      kit.link(file, linker, form, [mainObject(kit, linker, form)], variant.options);
    },
  };
}

/** A cell that is made of another one. */
function derived(name: string, from: Cell, change: (file: string, shop: Workshop) => void): Cell {
  return {
    ...from,
    name: `${from.name} ${name}`,
    build(shop, file) {
      from.build(shop, file);
      change(file, shop);
    },
  };
}

/** No section headers, and nothing behind the last loaded byte, as `sstrip` leaves it. */
function dropSections(file: string): void {
  const bytes = readFileSync(file);
  const end = Math.max(...new Elf(bytes).phdrs.map(p => p.offset + p.filesz));
  EHDR.put(new Encoding(true, true), bytes, 0, { e_shoff: 0, e_shnum: 0, e_shstrndx: 0 });
  writeFileSync(file, bytes.subarray(0, end));
}

const X86_FORMS: readonly Form[] = ['pie', 'nopie', 'shared'];

function x86Cells(linker: Linker): Cell[] {
  const pie = plainCell(X86_64, linker, 'pie', PLAIN);
  const shared = plainCell(X86_64, linker, 'shared', PLAIN);
  const patchelf = needs('patchelf');
  const repath = (file: string, shop: Workshop) => {
    const { dir, runPath } = shop.kit(X86_64);
    runOk('patchelf', [
      '--set-rpath',
      [...runPath, join(dir, `spare/${'long/'.repeat(40)}`)].join(':'),
      file,
    ]);
  };
  return [
    ...X86_FORMS.flatMap(form => VARIANTS[form].map(variant => plainCell(X86_64, linker, form, variant))),
    bssCell(linker),
    derived('sectionless', pie, dropSections),
    derived('sectionless', shared, dropSections),
    ...[pie, shared].map(cell => ({ ...derived('patched', cell, repath), skip: cell.skip || patchelf })),
  ];
}

function bssCell(linker: Linker): Cell {
  return {
    ...plainCell(X86_64, linker, 'pie', PLAIN),
    name: `x86_64 ${linker} pie bss-2g`,
    build(shop, file) {
      const kit = shop.kit(X86_64);
      const objects = [
        kit.object(MAIN_C, 'main', 'pie'),
        kit.object(BSS_C, 'bss', 'pie', ['-mcmodel=medium']),
      ];
      kit.link(file, linker, 'pie', objects, []);
    },
  };
}

/** Programs that open what belongs to their own file. */
function payloadCell(kind: string, number: number, says: string, append: (file: string) => Buffer): Cell {
  return {
    name: `x86_64 bfd pie ${kind}`,
    target: X86_64,
    form: 'pie',
    skip: needs('gcc'),
    says: `${SAYS}${says}\n`,
    build(shop, file) {
      const kit = shop.kit(X86_64);
      const objects = [
        kit.object(MAIN_C, 'main-payload', 'pie', ['-DPAYLOAD=1']),
        kit.object(PAYLOAD_C, `payload-${number}`, 'pie', [`-DPAYLOAD=${number}`]),
        ...(number === 4 ? [seaObject(kit)] : []),
      ];
      kit.link(file, 'bfd', 'pie', objects, []);
      writeFileSync(file, Buffer.concat([readFileSync(file), append(file)]));
    },
  };
}

/** The archive of the fixture `appended`, whose one file is stored. */
function fixtureZip(): Buffer {
  const bytes = readFileSync(`${FIXTURES}/kinds/appended`);
  return bytes.subarray(statSync(`${FIXTURES}/kinds/pie-bfd`).size);
}

function zipText(): string {
  const zip = fixtureZip();
  const start = 30 + zip.readUInt16LE(26) + zip.readUInt16LE(28);
  return zip.toString('latin1', start, start + zip.readUInt32LE(22));
}

/** A package of one text, and behind it the cookie that names its length, as PyInstaller writes it. */
function pyInstallerPackage(): Buffer {
  const text = Buffer.from(`${PAYLOAD_TEXT}${'.'.repeat(6000)}`);
  const cookie = Buffer.alloc(24);
  cookie.write('MEI\x0c\x0b\x0a\x0b\x0e', 'latin1');
  cookie.writeUInt32BE(text.length + cookie.length, 8);
  return Buffer.concat([text, cookie]);
}

const SEA_SIZE = 1 << 20;

/** A note of 1 MB in a loaded segment, as Node's single executables have. */
function seaObject(kit: Kit): string {
  const source = `__asm__(".section .note.node.sea,\\"a\\",@note\\n.balign 4\\n.long 9, ${SEA_SIZE}, 0\\n"
".asciz \\"NODE_SEA\\"\\n.balign 4\\n.fill ${SEA_SIZE}, 1, 7\\n.previous\\n");\n`;
  return kit.object(source, 'sea', 'pie');
}

/** A section that no segment holds, as `objcopy --add-section` makes it. */
function addSection(file: string): void {
  writeFileSync(`${file}.blob`, Buffer.alloc(SEA_SIZE, 0x55));
  runOk('objcopy', ['--add-section', `.note.blob=${file}.blob`, file]);
}

function compilerCell(name: string, tool: string, build: (kit: Kit, file: string) => void): Cell {
  return {
    name: `x86_64 ${name}`,
    target: X86_64,
    form: 'pie',
    skip: needs('gcc', tool),
    says: 'a=33 b=22\n',
    build: (shop, file) => build(shop.kit(X86_64), file),
  };
}

function goCell(kind: string, options: (kit: Kit) => string[]): Cell {
  return compilerCell(`go ${kind}`, 'go', (kit, file) => {
    const source = kit.once('main.go', made => writeFileSync(made, GO));
    const rpath = `-Wl,-rpath,${kit.runPath.join(':')}`;
    runOk('go', ['build', '-o', file, ...options(kit), source], {
      env: {
        GOCACHE: join(kit.dir, 'go-cache'),
        GOPATH: join(kit.dir, 'go-path'),
        GO111MODULE: 'off',
        GOFLAGS: undefined,
        GOPROXY: 'off',
        CGO_ENABLED: '1',
        CGO_LDFLAGS: `-L${kit.dir}/a -L${kit.dir}/b -la -lb ${rpath} -Wl,--enable-new-dtags`,
      },
    });
  });
}

const RUST_CELL = compilerCell('rust', 'rustc', (kit, file) => {
  const source = kit.once('main.rs', made => writeFileSync(made, RUST));
  const rpath = `-Clink-arg=-Wl,-rpath,${kit.runPath.join(':')},--enable-new-dtags`;
  runOk('rustc', ['-O', source, '-o', file, '-L', join(kit.dir, 'a'), '-L', join(kit.dir, 'b'), rpath]);
});

/** Packs a program; what comes out has no dynamic section that the kernel or a tool could see. */
export const UPX_CELL: Cell = {
  ...plainCell(X86_64, 'bfd', 'pie', PLAIN),
  name: 'x86_64 bfd pie upx',
  // Debian 12 has no package of it, so its absence is no fault of a CI image.
  skip: toolPath('upx') === undefined ? 'not on this machine: upx (no package in Debian 12)' : needs('gcc'),
  build(shop, file) {
    const kit = shop.kit(X86_64);
    // upx refuses files below 40 KB.
    const ballast = kit.object('const char ballast[1 << 18] = "b";\n', 'ballast', 'pie');
    kit.link(file, 'bfd', 'pie', [kit.object(MAIN_C, 'main', 'pie'), ballast], []);
    runOk('upx', ['-q', file]);
    chmodSync(file, 0o755);
  },
};

function specialCells(): Cell[] {
  const pie = plainCell(X86_64, 'bfd', 'pie', PLAIN);
  return [
    payloadCell('zip', 1, zipText(), fixtureZip),
    payloadCell('appimage', 2, PAYLOAD_TEXT, () => Buffer.from(PAYLOAD_TEXT)),
    payloadCell('pyinstaller', 3, PAYLOAD_TEXT, pyInstallerPackage),
    payloadCell('sea', 4, `sum ${SEA_SIZE * 7}`, () => Buffer.alloc(0)),
    derived('added-section', pie, addSection),
    goCell('external pie', () => ['-buildmode=pie']),
    goCell('external exe', () => ['-ldflags', '-linkmode external']),
    goCell('internal exe', kit => ['-ldflags', `-linkmode internal -r ${kit.runPath.join(':')}`]),
    RUST_CELL,
  ];
}

/** The same kinds everywhere with GNU ld; with the other linkers a program and a library. */
function foreignCells(target: Target): Cell[] {
  const cell = (linker: Linker, form: Form, variant: Variant) => plainCell(target, linker, form, variant);
  return [
    cell('bfd', 'pie', STRIPPED),
    cell('bfd', 'nopie', PLAIN),
    cell('bfd', 'shared', NO_BUILD_ID),
    cell('bfd', 'pie', maxPage(4096)),
    cell('bfd', 'pie', maxPage(65536)),
    ...LINKERS.flatMap(linker => [cell(linker, 'pie', PLAIN), cell(linker, 'shared', PLAIN)]),
  ];
}

export interface CellGroup {
  readonly name: string;
  readonly cells: readonly Cell[];
}

/** Every cell there is, the ones that cannot be built included. */
export function matrix(): CellGroup[] {
  return [
    ...LINKERS.map(linker => ({ name: `x86_64 ${linker}`, cells: x86Cells(linker) })),
    {
      name: 'x86_64-musl bfd',
      cells: X86_FORMS.flatMap(form => [PLAIN, STRIPPED].map(v => plainCell(MUSL, 'bfd', form, v))),
    },
    { name: 'x86_64 other compilers and appended data', cells: specialCells() },
    ...FOREIGN.map(target => ({ name: target.name, cells: foreignCells(target) })),
  ];
}

/** Cells alone whose names match, for whoever works on one of them. */
const CHOSEN = new RegExp(process.env.MATRIX ?? '');

/** One number for each cell, the same in every run. */
export function numberOf({ name }: Cell): number {
  return NUMBERS.indexOf(name);
}

/**
 * Groups have the same kinds in the same places. Numbers are left out between them, so that their distance has no factor
 * that a share could have, and of each kind another cell is taken in each group.
 */
const NUMBERS = matrix().flatMap(({ cells }) => {
  const names = cells.map(({ name }) => name);
  while ([2, 3, 5].some(factor => names.length % factor === 0)) names.push('');
  return names;
});

if (!NUMBERS.some(name => CHOSEN.test(name))) throw new Error(`MATRIX: no cell has ${CHOSEN}`);

/** Whether `npm test` has a cell. */
export function mayBeQuick(cell: Cell): boolean {
  const machine = /^x86_64 go /.test(cell.name) ? 'go' : cell.target.name;
  return isInQuick(machine) && numberOf(cell) % EXTENT.quickCells === 0;
}

/** Whether the cells of a group run below qemu. */
export const isForeign = ({ name }: CellGroup): boolean => FOREIGN.some(target => target.name === name);

/** The cells that this run is for. */
export function testedMatrix(): CellGroup[] {
  return matrix().flatMap(({ name, cells }) => {
    const tested = cells.filter(cell => (RUN !== 'quick' || mayBeQuick(cell)) && CHOSEN.test(cell.name));
    return tested.length > 0 ? [{ name, cells: tested }] : [];
  });
}

/** The cells after which two tools follow each other. */
export function pairCells(): Cell[] {
  return [
    plainCell(X86_64, 'bfd', 'pie', PLAIN),
    plainCell(X86_64, 'lld', 'pie', PLAIN),
    plainCell(X86_64, 'mold', 'pie', PLAIN),
    plainCell(X86_64, 'bfd', 'shared', PLAIN),
    plainCell(X86_64, 'lld', 'shared', PLAIN),
    plainCell(X86_64, 'bfd', 'shared', NO_BUILD_ID),
  ].filter(({ name }) => CHOSEN.test(name));
}
