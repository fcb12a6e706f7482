# Packages that meet the overlay of nix/ as they would in nixpkgs, without nixpkgs: raw derivations, the machine's bash,
# gcc and patchelf, and stand-ins for the few functions of nixpkgs that the overlay calls.
{
  shell,
  path,
  node,
  cli,
}:

let
  inherit (builtins) currentSystem intersectAttrs functionArgs;

  mkDerivation =
    args:
    derivation (
      {
        system = currentSystem;
        builder = shell;
        args = [ ./stdenv.sh ];
        PATH = path;
      }
      // args
    );

  # The last command is bash's own: another would take the place of bash, and Nix kills a builder that has closed its
  # output before it exits, as those of coreutils do.
  command = name: text: {
    inherit name;
    system = currentSystem;
    builder = shell;
    args = [
      "-euc"
      "${text}\n:"
    ];
    PATH = path;
  };

  stubs = {
    lib = import ./lib.nix;
    nodejs = {
      outPath = "nodejs";
      meta.mainProgram = "node";
    };
    runCommand =
      name: env: text:
      derivation (command name text // env);
    importNpmLock = {
      __functor = _self: args: args;
      npmConfigHook = "npm-config-hook";
    };
    # The command line that the tests build, so that a change shows without a build of npm packages.
    buildNpmPackage =
      args:
      derivation (
        command args.pname ''
          mkdir -p $out/bin
          printf '#!%s\necho starting elfnote >&2\nexec "%s" "%s" "$@"\n' ${shell} '${node}' '${cli}' > $out/bin/elfnote
          chmod +x $out/bin/elfnote
        ''
      )
      // {
        inherit args;
        inherit (args) meta;
      };
    makeSetupHook =
      {
        name,
        substitutions,
        meta,
      }:
      script:
      derivation (
        command name ''
          mkdir -p $out/nix-support
          sed 's|@elfnote@|${substitutions.elfnote}|' ${script} > $out/nix-support/setup-hook
        ''
      )
      // {
        inherit meta;
      };
    callPackage =
      file: extra:
      let
        function = import file;
      in
      function (intersectAttrs (functionArgs function) final // extra);
  };

  final = stubs // import ../../nix final stubs;
  inherit (final) elfnote elfnoteHook;

  # autoPatchelfHook in short: sets one run path in all of an output's libraries, from the same place.
  autoPatchelfHook = derivation (
    command "auto-patchelf-hook" ''
      mkdir -p $out/nix-support
      cp ${./auto-patchelf.sh} $out/nix-support/setup-hook
    ''
  );

  # A C library, where a run path finds it; `ld.so` stays the machine's.
  glibc = derivation (
    command "glibc" ''
      mkdir -p $out/lib
      cp -L "$(gcc -print-file-name=libc.so.6)" $out/lib/
    ''
  );

  # `link NAME.so OUT DEPENDENCY...`: a library that calls each dependency, with a run path as nixpkgs' ld wrapper makes it.
  linking = ''
    link() {
      local name=$1 out=$2 dependency flags=() calls=0 declarations=
      shift 2
      for dependency; do
        flags+=("$dependency"/lib/lib*.so "-Wl,-rpath,$dependency/lib")
        dependency=''${dependency##*-}
        declarations+="int $dependency(void);"
        calls+="+$dependency()"
      done
      mkdir -p "$out/lib"
      echo "$declarations int getpid(void); int $name(void) { return getpid() ? 1 + $calls : 0; }" |
        ''${CC-gcc} -x c -shared -fPIC - -x none -o "$out/lib/lib$name.so" "-Wl,-soname,lib$name.so,--enable-new-dtags" \
          "''${flags[@]}" "-Wl,-rpath,${glibc}/lib"
    }
    program() {
      local file=$1 dependency flags=() calls=0 declarations=
      shift
      for dependency; do
        flags+=("$dependency"/lib/lib*.so "-Wl,-rpath,$dependency/lib")
        dependency=''${dependency##*-}
        declarations+="int $dependency(void);"
        calls+="+$dependency()"
      done
      mkdir -p "''${file%/*}"
      echo "#include <stdio.h>
        $declarations int main(void) { printf(\"%d\\n\", $calls); }" |
        ''${CC-gcc} -x c - -x none -o "$file" -Wl,--enable-new-dtags "''${flags[@]}" "-Wl,-rpath,${glibc}/lib"
    }
  '';

  package =
    name: buildCommand: args:
    mkDerivation (
      {
        inherit name;
        nativeBuildInputs = [ elfnoteHook ];
        buildCommand = linking + buildCommand;
      }
      // args
    );

  one = package "one" "link one $out" { };
  two = package "two" "link two $out ${one}" { };
  three = package "three" "link three $out ${one} ${two}" { };

  program = package "program" "program $out/bin/program ${one} ${two} ${three}";
  # What `programs.elfnote` sets, with the options as given.
  nixos =
    options:
    (import ../../nix/module.nix {
      config.programs.elfnote = options;
      inherit (stubs) lib;
      pkgs = {
        inherit elfnote;
        stdenv.hostPlatform.parsed.cpu.name = "armv7l";
      };
    }).config;

  flake = (import ../../flake.nix).outputs {
    self = flake;
    nixpkgs = {
      inherit (stubs) lib;
      legacyPackages.x86_64-linux.extend = overlay: stubs // overlay final stubs;
    };
  };
in
{
  inherit
    flake
    nixos
    autoPatchelfHook
    elfnote
    elfnoteHook
    glibc
    one
    package
    program
    three
    two
    ;
}
