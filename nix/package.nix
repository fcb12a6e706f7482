{
  lib,
  buildNpmPackage,
  importNpmLock,
  nodejs,
  runCommand,
  # package-lock.json names no registry, so that any mirror serves. npm knows its own; with one given, nothing is asked.
  npmRegistry ? lib.fileContents (
    runCommand "npm-registry" { nativeBuildInputs = [ nodejs ]; } ''
      HOME=$TMPDIR npm config get registry > $out
    ''
  ),
}:

let
  package = lib.importJSON ../package.json;
  lock = lib.importJSON ../package-lock.json;

  # `node_modules/@scope/name` is fetched from `@scope/name/-/name-version.tgz`; the lock has its hash.
  tarball =
    place: version:
    let
      name = lib.last (lib.splitString "node_modules/" place);
    in
    "${lib.removeSuffix "/" npmRegistry}/${name}/-/${baseNameOf name}-${version}.tgz";

  resolve =
    place: module:
    lib.optionalAttrs (module ? integrity) { resolved = tarball place module.version; } // module;
in
buildNpmPackage {
  pname = package.name;
  inherit (package) version;
  inherit nodejs;

  src = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../CHANGELOG.md
      ../LICENSE
      ../README.md
      (lib.fileset.difference ../audit (lib.fileset.maybeMissing ../audit/build))
      ../bin
      ../docs
      ../package-lock.json
      ../package.json
      ../scripts
      ../src
      ../tsconfig.build.json
      ../tsconfig.json
    ];
  };

  npmDeps = importNpmLock {
    inherit package;
    packageLock = lock // {
      packages = lib.mapAttrs resolve lock.packages;
    };
  };
  inherit (importNpmLock) npmConfigHook;
  # `npm run build` has made dist/ by then.
  npmPackFlags = [ "--ignore-scripts" ];

  # The reader for an unpatched glibc, which is for Linux alone. audit/cflags says how it is built; it needs no libc, so
  # nothing that hardening would call there.
  hardeningDisable = [ "all" ];
  postBuild = "npm run build:audit -- --if-possible";
  postInstall = ''
    if [ -d audit/build ]; then
      cp -r audit/build "$out/lib/node_modules/${package.name}/audit/"
    fi
  '';

  meta = {
    inherit (package) description;
    license = lib.licenses.mit;
    mainProgram = "elfnote";
  };
}
