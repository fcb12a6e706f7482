// Calls as plain JavaScript makes them, where no compiler stands in the way. No path here exists, so a call that
// opened one would fail with another code.

const entry = { soname: 'liba.so', steps: [{ kind: 'path', path: '/x/liba.so' }] };
const withSteps = steps => [{ soname: 'liba.so', steps }];
const circular = {};
circular.self = circular;

/** Each with what its message has to say. */
export const refused = ({
  annotateTree,
  cleanTree,
  buildCache,
  removeCache,
  resolveFile,
  readNote,
  judgePath,
  displayBytes,
  verifyFile,
  traceFile,
  closureOf,
  verifyTree,
  encodeDescriptor,
  encodeNote,
  decodeDescriptor,
  Encoding,
  FileSystemProbe,
}) => [
  [() => annotateTree('/no/such'), 'annotateTree: paths must be a list of paths, not "/no/such"'],
  [() => traceFile(7), 'traceFile: path must be a path, not 7'],
  [
    () => traceFile('/no/such', { loader: '2.36' }),
    'traceFile: loader must be like "glibc-2.36", not "2.36"',
  ],
  [
    () => traceFile('/no/such', { with: 'musl' }),
    'traceFile: with must be "none", "patched", "audit" or "cache", not "musl"',
  ],
  [() => traceFile('/no/such', { probe: {} }), 'traceFile: there is no option "probe"'],
  [
    () => closureOf('/no/such', { libraryPaths: '' }),
    'closureOf: there is no option "libraryPaths"; "libraryPath" is meant?',
  ],
  [
    () => closureOf('/no/such', { storeDirs: '/nix/store' }),
    'closureOf: storeDirs must be a list of directories, not "/nix/store"',
  ],
  [() => judgePath({}, '/lib/liba.so'), 'judgePath: note must be a note as readNote gives it, not an object'],
  [
    () => judgePath({ image: { header: {}, encoding: {} } }, 'liba.so'),
    'judgePath: path must be an absolute path of bytes, not "liba.so"',
  ],
  [
    () => displayBytes('\u0394'),
    'displayBytes: text must be a text whose characters are bytes (0 to 255), not "\u0394"',
  ],
  [() => verifyFile(''), 'verifyFile: path must be a path, not ""'],
  [
    () => verifyFile('/no/such', { with: 'musl' }),
    'verifyFile: with must be "patched" or "audit", not "musl"',
  ],
  [() => verifyFile('/no/such', { jobs: 1 }), 'verifyFile: there is no option "jobs"'],
  [() => verifyTree('/no/such'), 'verifyTree: paths must be a list of paths, not "/no/such"'],
  [
    () => verifyTree(['/no/such'], { includes: [] }),
    'verifyTree: there is no option "includes"; "include" is meant?',
  ],
  [() => annotateTree(), 'annotateTree: paths must be a list of paths, not undefined'],
  [() => annotateTree(new Set(['/no/such'])), 'annotateTree: paths must be a list of paths, not an object'],
  [() => annotateTree(['/no/such', '']), 'annotateTree: paths.1 must be a path, not ""'],
  [() => annotateTree([['/no/such']]), 'annotateTree: paths.0 must be a path, not a list'],
  [
    () => annotateTree(['/no/such', undefined, '/no/other']),
    'annotateTree: paths.1 must be a path, not undefined',
  ],
  [
    () => annotateTree(['/no/such'], { dryrun: true }),
    'annotateTree: there is no option "dryrun"; "dryRun" is meant?',
  ],
  [() => annotateTree(['/no/such'], { output: '/no/out' }), 'annotateTree: there is no option "output"'],
  [
    () => annotateTree(['/no/such'], { include: '*.so' }),
    'annotateTree: include must be a list of patterns, not "*.so"',
  ],
  [() => annotateTree(['/no/such'], { exclude: [''] }), 'annotateTree: exclude.0 must be a pattern, not ""'],
  [
    () => annotateTree(['/no/such'], { signal: { aborted: false } }),
    'annotateTree: signal must be an AbortSignal, not an object',
  ],
  [
    () => annotateTree(['/no/such'], { signal: new AbortController() }),
    'annotateTree: signal must be an AbortSignal, not an object',
  ],
  [
    () => annotateTree(['/no/such'], { failFast: 'yes' }),
    'annotateTree: failFast must be true or false, not "yes"',
  ],
  [
    () => annotateTree(['/no/such'], { listed: ['/no/such'] }),
    'annotateTree: listed must be a list of paths as it was read, not a list',
  ],
  [() => cleanTree('/no/such'), 'cleanTree: paths must be a list of paths, not "/no/such"'],
  [() => cleanTree(['/no/such'], { root: '/' }), 'cleanTree: there is no option "root"'],
  [
    () => cleanTree(['/no/such'], { dry_run: true }),
    'cleanTree: there is no option "dry_run"; "dryRun" is meant?',
  ],
  [() => cleanTree(['/no/such'], null), 'cleanTree: options must be an object with options, not null'],

  [
    () => buildCache('/no/such', { dryrun: true }),
    'buildCache: there is no option "dryrun"; "dryRun" is meant?',
  ],
  [
    () => buildCache('/no/such', { dryRun: true, dryrun: undefined }),
    'buildCache: there is no option "dryrun"; "dryRun" is meant?',
  ],
  [
    () => buildCache('/no/such', { 'dry-run': true }),
    'buildCache: there is no option "dry-run"; "dryRun" is meant?',
  ],
  [
    () => buildCache('/no/such', { storeDir: ['/nix'] }),
    'buildCache: there is no option "storeDir"; "storeDirs" is meant?',
  ],
  [() => buildCache('/no/such', { something: 1 }), 'buildCache: there is no option "something"'],
  [() => buildCache('/no/such', { 'a\n\x1b[31m': 1 }), 'buildCache: there is no option "a\\x0a\\x1b[31m"'],
  [() => buildCache('/no/such', { dryRun: 'no' }), 'buildCache: dryRun must be true or false, not "no"'],
  [() => buildCache('/no/such', { dryRun: 1 }), 'buildCache: dryRun must be true or false, not 1'],
  [() => buildCache('/no/such', { dryRun: null }), 'buildCache: dryRun must be true or false, not null'],
  [
    () => buildCache('/no/such', { storeDirs: '/nix' }),
    'buildCache: storeDirs must be a list of directories, not "/nix"',
  ],
  [() => buildCache('/no/such', { storeDirs: [''] }), 'buildCache: storeDirs.0 must be a path, not ""'],
  [
    () => buildCache('/no/such', { placement: 'bogus' }),
    'buildCache: placement must be "auto", "slack" or "tail", not "bogus"',
  ],
  [() => buildCache('/no/such', { root: 7n }), 'buildCache: root must be a path, not 7'],
  [() => buildCache('/no/such', { reader: true }), 'buildCache: reader must be a path, not true'],
  [
    () => buildCache('/no/such', { output: '/a\0b' }),
    'buildCache: output must be a path, which has no NUL, not "/a\\x00b"',
  ],
  [
    () => buildCache('/no/such', { probe: {} }),
    'buildCache: probe must be a probe, with the functions directory, names, candidate, realPath, not an object',
  ],
  [
    () => buildCache('/no/such', { probe: FileSystemProbe }),
    'buildCache: probe must be a probe, with the functions directory, names, candidate, realPath, not a function',
  ],
  [
    () => buildCache('/no/such', { attributes: { found: {} } }),
    'buildCache: attributes.found must be a Map of paths and names of attributes, not an object',
  ],
  [() => buildCache('/no/such', []), 'buildCache: options must be an object with options, not a list'],
  [() => ['/no/such'].map(buildCache), 'buildCache: options must be an object with options, not 0'],
  [() => buildCache(Buffer.from('/no/such')), 'buildCache: path must be a path, not an object'],
  [() => buildCache(new URL('file:///no/such')), 'buildCache: path must be a path, not an object'],
  [() => buildCache(3), 'buildCache: path must be a path, not 3'],
  [() => buildCache(''), 'buildCache: path must be a path, not ""'],
  [() => buildCache(), 'buildCache: path must be a path, not undefined'],
  [() => buildCache('/no/such', circular), 'buildCache: there is no option "self"'],
  [() => removeCache('/no/such', { storeDirs: ['/nix'] }), 'removeCache: there is no option "storeDirs"'],
  [() => removeCache('/no/such', { unshare: 'a' }), 'removeCache: unshare must be true or false, not "a"'],
  [() => removeCache(['/no/such']), 'removeCache: path must be a path, not a list'],
  [() => resolveFile('/no/such', { dryRun: true }), 'resolveFile: there is no option "dryRun"'],
  [
    () => resolveFile('/no/such', { storeDirs: '/nix' }),
    'resolveFile: storeDirs must be a list of directories, not "/nix"',
  ],
  [() => resolveFile(undefined), 'resolveFile: path must be a path, not undefined'],
  [() => readNote(null), 'readNote: path must be a path, not null'],
  [() => readNote('a\0b'), 'readNote: path must be a path, which has no NUL, not "a\\x00b"'],
  [() => readNote('a\ud800b'), 'readNote: path must be a path of whole characters, not "a\ud800b"'],

  [() => encodeDescriptor('liba.so'), 'encodeDescriptor: entries must be a list of entries, not "liba.so"'],
  [
    () => encodeDescriptor([null]),
    'encodeDescriptor: entries.0 must be an entry, { soname, steps }, not null',
  ],
  [
    () => encodeDescriptor([{ soname: '', steps: entry.steps }]),
    'encodeDescriptor: entries.0.soname must not be empty, not ""',
  ],
  [
    () => encodeDescriptor([{ soname: 'ā', steps: entry.steps }]),
    'encodeDescriptor: entries.0.soname must have bytes alone, not "ā"',
  ],
  [() => encodeDescriptor(withSteps([])), 'encodeDescriptor: entries.0.steps must not be empty, not a list'],
  [
    () => encodeDescriptor(withSteps([{ kind: 'path', path: 'a' }])),
    'encodeDescriptor: entries.0.steps.0.path must be an absolute path, not "a"',
  ],
  [
    () => encodeDescriptor(withSteps([{ kind: 'hint', dir: '/a:/b' }])),
    'encodeDescriptor: entries.0.steps.0.dir must have no ":", which ends an element, not "/a:/b"',
  ],
  [
    () => encodeDescriptor(withSteps([{ kind: 'hint', dir: 'x'.repeat(4095) }])),
    `encodeDescriptor: entries.0.steps.0.dir must have fewer than 4095 bytes, not "${'x'.repeat(40)}..."`,
  ],
  [
    () => encodeDescriptor([entry, entry]),
    'encodeDescriptor: entries must have each soname once, not a list',
  ],
  [() => encodeNote([entry]), 'encodeNote: encoding must be an Encoding, not undefined'],
  [
    () => encodeNote([entry], { is64: 64, littleEndian: true }),
    'encodeNote: encoding.is64 must be true or false, not 64',
  ],
  [() => decodeDescriptor('text', 0), 'decodeDescriptor: desc must be a Buffer, not "text"'],
  [() => decodeDescriptor(Buffer.alloc(2), -1), 'decodeDescriptor: at must not be below zero, not -1'],
  [() => decodeDescriptor(Buffer.alloc(2), 0, 5), 'decodeDescriptor: path must be a path, not 5'],

  [() => new Encoding(64, true), 'Encoding: is64 must be true or false, not 64'],
  [() => new Encoding(true, true).u32('text', 0), 'Encoding: bytes must be a Buffer, not "text"'],
  [() => new Encoding(true, true).u64(Buffer.alloc(8), 4), 'Encoding: there are no 8 bytes at 4 of 8'],
  [() => new Encoding(true, true).u16(Buffer.alloc(8), 'a'), 'Encoding: there are no 2 bytes at a of 8'],
  [
    () => new Encoding(false, true).putWord(Buffer.alloc(4), 0, '1'),
    'Encoding: value must be a number, not "1"',
  ],
  [() => new FileSystemProbe(5), 'FileSystemProbe: root must be a path, not 5'],
  [() => new FileSystemProbe('/tmp', '9'), 'FileSystemProbe: most must be a whole number, not "9"'],
  [() => new FileSystemProbe().candidate(5), 'FileSystemProbe: path must be a text of bytes, not 5'],
  [() => new FileSystemProbe().directory(), 'FileSystemProbe: path must be a text of bytes, not undefined'],
];
