# The functions of nixpkgs' lib that nix/ uses, as far as it uses them.
let
  inherit (builtins)
    attrNames
    elemAt
    filter
    isString
    length
    match
    split
    ;
in
rec {
  inherit (builtins) mapAttrs;
  fetchers.proxyImpureEnvVars = [ "https_proxy" ];
  fileset = {
    difference = files: _without: files;
    maybeMissing = file: file;
    toSource = { root, fileset }: { inherit root fileset; };
    unions = files: assert builtins.all builtins.pathExists files; files;
  };
  filterAttrs =
    keep: attrs: removeAttrs attrs (filter (name: !keep name attrs.${name}) (attrNames attrs));
  genAttrs =
    names: make:
    builtins.listToAttrs (
      map (name: {
        inherit name;
        value = make name;
      }) names
    );
  getExe = package: "${package}/bin/${package.meta.mainProgram}";
  importJSON = file: builtins.fromJSON (builtins.readFile file);
  last = list: elemAt list (length list - 1);
  licenses.mit = "MIT";
  literalExpression = text: text;
  mkEnableOption = description: { inherit description; };
  mkIf = condition: content: if condition then content else { };
  mkOption = option: option;
  optional = condition: value: if condition then [ value ] else [ ];
  optionalAttrs = condition: attrs: if condition then attrs else { };
  platforms.unix = [ "unix" ];
  sourceTypes.fromSource = "source";
  splitString = separator: text: filter isString (split separator text);
  types = {
    bool = "bool";
    ints.positive = "positive";
    nullOr = type: "null or ${type}";
    package = "package";
  };
}
