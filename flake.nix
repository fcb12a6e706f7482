{
  description = "Notes in ELF files that tell the dynamic loader where each library is";

  inputs.nixpkgs.url = "nixpkgs";

  outputs =
    { self, nixpkgs }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "i686-linux"
        "armv7l-linux"
        "riscv64-linux"
        "powerpc64le-linux"
        "s390x-linux"
      ];
      forEach = nixpkgs.lib.genAttrs systems;
    in
    {
      overlays.default = import ./nix;

      packages = forEach (
        system:
        let
          pkgs = nixpkgs.legacyPackages.${system}.extend self.overlays.default;
        in
        {
          default = pkgs.elfnote;
          inherit (pkgs) elfnote elfnoteHook;
        }
      );

      nixosModules.default = import ./nix/module.nix;
    };
}
