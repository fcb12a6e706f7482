{
  lib,
  makeSetupHook,
  elfnote,
}:

makeSetupHook {
  name = "elfnote-hook";
  substitutions.elfnote = lib.getExe elfnote;
  meta = {
    description = "Writes a note into the ELF files of a build that says where each library is";
    inherit (elfnote.meta) license;
  };
} ./setup-hook.sh
