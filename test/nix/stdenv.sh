# shellcheck shell=bash disable=SC2154 # Nix sets what a package says
# As much of nixpkgs' stdenv as a setup hook meets: outputs, hooks, and a fixup phase in the same order.
set -euo pipefail

if [[ -n ${NIX_ATTRS_SH_FILE-} ]]; then
    __structuredAttrs=1
    # shellcheck source=/dev/null
    source "$NIX_ATTRS_SH_FILE"
    for output in "${!outputs[@]}"; do export "$output=${outputs[$output]}"; done
fi
export PATH

getAllOutputNames() {
    if [[ -n ${__structuredAttrs-} ]]; then echo "${!outputs[*]}"; else echo "${outputs:-out}"; fi
}

# The package's own hook first, a function or a text, then the array's entries as they stand at the start.
runHook() {
    local entries="$1Hooks[@]" entry
    if declare -F "$1" >/dev/null; then "$1"; else eval "${!1-}"; fi
    for entry in ${!entries+"${!entries}"}; do eval "$entry"; done
}

fixupPhase() {
    local output
    for output in $(getAllOutputNames); do
        if [[ -e ${!output} ]]; then chmod -R u+w "${!output}"; fi
    done
    runHook preFixup
    for output in $(getAllOutputNames); do prefix=${!output} runHook fixupOutput; done
    runHook postFixup
}

for input in ${nativeBuildInputs[@]+"${nativeBuildInputs[@]}"}; do
    # Without __structuredAttrs the inputs are one text.
    for hook in $input; do
        # shellcheck source=/dev/null
        source "$hook/nix-support/setup-hook"
    done
done

eval "$buildCommand"
fixupPhase
