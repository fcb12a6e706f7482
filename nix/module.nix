# A NixOS module: `programs.elfnote.enable = true;`
{
  config,
  lib,
  pkgs,
  ...
}:

let
  cfg = config.programs.elfnote;

  # As compilers name it, by what nixpkgs calls the processor.
  architectures = {
    i686 = "i386";
    armv6l = "arm";
    armv7l = "arm";
  };
  cpu = pkgs.stdenv.hostPlatform.parsed.cpu.name;
  module = "${cfg.package}/lib/node_modules/elfnote/audit/build/elfnote-audit-${architectures.${cpu} or cpu}.so";

  variables = {
    LD_AUDIT = module;
  }
  // lib.optionalAttrs (cfg.auditModule.staticTls != null) {
    GLIBC_TUNABLES = "glibc.rtld.optional_static_tls=${toString cfg.auditModule.staticTls}";
  };
in
{
  options.programs.elfnote = {
    enable = lib.mkEnableOption "elfnote, which writes and reads notes that tell the dynamic loader where each library is";

    package = lib.mkOption {
      type = lib.types.package;
      default = pkgs.elfnote or (pkgs.callPackage ./package.nix { });
      defaultText = lib.literalExpression "pkgs.elfnote";
      description = "The package of elfnote.";
    };

    auditModule.enable = lib.mkOption {
      type = lib.types.bool;
      default = true;
      description = ''
        Whether sessions and services load the audit module, by which an unpatched glibc uses the notes. Programs
        without notes start as before, but for some system calls.
      '';
    };

    auditModule.staticTls = lib.mkOption {
      type = lib.types.nullOr lib.types.ints.positive;
      default = 4096;
      description = ''
        Bytes of static thread-local storage that glibc keeps for libraries which are loaded later
        (`glibc.rtld.optional_static_tls`). With an audit module it keeps less than without one, too little for some
        graphics drivers. Null leaves `GLIBC_TUNABLES` alone.
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ cfg.package ];
    environment.sessionVariables = lib.mkIf cfg.auditModule.enable variables;
    systemd.globalEnvironment = lib.mkIf cfg.auditModule.enable variables;
  };
}
