{
  lib,
  buildNpmPackage,
  importNpmLock,
  nodejs,
  runCommand,
  # package-lock.json names no registry, so that any mirror serves; npm knows its own.
  npmRegistry ? null,
}:

let
  package = lib.importJSON ../package.json;
  packageLock = lib.importJSON ../package-lock.json;

  # The tarball of `node_modules/@scope/name` as the registry has it; the lock has its hash. Nothing has to be built to
  # know what to build (no import from derivation).
  fetch =
    place: module:
    let
      name = lib.last (lib.splitString "node_modules/" place);
    in
    runCommand "${baseNameOf name}-${module.version}.tgz"
      {
        nativeBuildInputs = [ nodejs ];
        outputHashMode = "flat";
        outputHash = module.integrity;
        impureEnvVars = lib.fetchers.proxyImpureEnvVars;
        npmArgs = [ "${name}@${module.version}" ] ++ lib.optional (npmRegistry != null) "--registry=${npmRegistry}";
      }
      ''
        HOME=$TMPDIR npm pack --silent --pack-destination "$TMPDIR" $npmArgs
        mv "$TMPDIR"/*.tgz $out
      '';
in
buildNpmPackage {
  pname = package.name;
  inherit (package) version;
  inherit nodejs;

  src = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../CHANGELOG.md
      ../CONTRIBUTING.md
      ../LICENSE
      ../README.md
      ../SECURITY.md
      (lib.fileset.difference ../audit (lib.fileset.maybeMissing ../audit/build))
      ../bin
      ../docs
      # The build runs the command line on these.
      ../fixtures/kinds
      ../fixtures/root
      ../man
      ../package-lock.json
      ../package.json
      ../scripts
      ../src
      ../tsconfig.build.json
      ../tsconfig.json
    ];
  };

  npmDeps = importNpmLock {
    inherit package packageLock;
    packageSourceOverrides = lib.mapAttrs fetch (
      lib.filterAttrs (_: module: module ? integrity) packageLock.packages
    );
  };
  inherit (importNpmLock) npmConfigHook;
  # `npm run build` has made dist/ by then.
  npmPackFlags = [ "--ignore-scripts" ];

  # The audit module for an unpatched glibc, which is for Linux alone. audit/cflags says how it is built; it needs no
  # libc, so nothing that hardening would call there.
  hardeningDisable = [ "all" ];
  postBuild = "npm run build:audit -- --if-possible";
  postInstall = ''
    if [ -d audit/build ]; then
      cp -r audit/build "$out/lib/node_modules/${package.name}/audit/"
    fi
    installed="$out/lib/node_modules/${package.name}"
    # Of this Node alone, and so in no package for others.
    cp -r dist/cli/compiled "$installed/dist/cli/"
    install -Dm644 "$installed/man/elfnote.1" "$out/share/man/man1/elfnote.1"
    for shell in bash zsh fish; do
      ${lib.getExe nodejs} "$installed/bin/elfnote.js" completion $shell > completion
      case $shell in
        bash) install -Dm644 completion "$out/share/bash-completion/completions/elfnote" ;;
        zsh) install -Dm644 completion "$out/share/zsh/site-functions/_elfnote" ;;
        fish) install -Dm644 completion "$out/share/fish/vendor_completions.d/elfnote.fish" ;;
      esac
    done
  '';

  meta = {
    inherit (package) description;
    longDescription = ''
      Tells the dynamic loader where each library of a program is, by a note in each ELF file, so that a program with
      one run path directory a dependency starts without hundreds of failing look-ups. With it come a setup hook for
      builds and an audit module that lets an unpatched glibc use the notes.
    '';
    license = lib.licenses.mit;
    mainProgram = "elfnote";
    platforms = lib.platforms.unix;
    sourceProvenance = [ lib.sourceTypes.fromSource ];
    maintainers = [ ];
  };
}
