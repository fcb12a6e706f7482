# An overlay for nixpkgs: `nativeBuildInputs = [ elfnoteHook ];`
final: _prev: {
  elfnote = final.callPackage ./package.nix { };
  elfnoteHook = final.callPackage ./hook.nix { };
}
