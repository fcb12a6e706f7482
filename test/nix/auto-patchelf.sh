# shellcheck shell=bash disable=SC2154 # a package sets finalRunPath
# Stands for autoPatchelfHook: it registers in the same way, and sets one run path in all libraries of all outputs.
autoPatchelf() {
    find "$@" -name '*.so' -exec patchelf --set-rpath "$finalRunPath" {} +
}

autoPatchelfPostFixup() {
    local output
    if [[ -n ${dontAutoPatchelf-} ]]; then return 0; fi
    for output in $(getAllOutputNames); do autoPatchelf "${!output}"; done
}

postFixupHooks+=(autoPatchelfPostFixup)
