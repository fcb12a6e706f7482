# The functions of nixpkgs' lib that nix/ uses, as far as it uses them.
let
  inherit (builtins) elemAt filter isString length match split;
in
rec {
  inherit (builtins) mapAttrs;
  fileContents = file: removeSuffix "\n" (builtins.readFile file);
  fileset = {
    difference = files: _without: files;
    maybeMissing = file: file;
    toSource = { root, fileset }: { inherit root fileset; };
    unions = files: assert builtins.all builtins.pathExists files; files;
  };
  getExe = package: "${package}/bin/${package.meta.mainProgram}";
  importJSON = file: builtins.fromJSON (builtins.readFile file);
  last = list: elemAt list (length list - 1);
  licenses.mit = "MIT";
  optionalAttrs = condition: attrs: if condition then attrs else { };
  removeSuffix =
    suffix: text:
    let
      stem = match "(.*)${suffix}" text;
    in
    if stem == null then text else elemAt stem 0;
  splitString = separator: text: filter isString (split separator text);
}
