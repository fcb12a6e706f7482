# shellcheck shell=bash disable=SC2154 # the package sets elfnoteFlags
# Setup hook of elfnote for nixpkgs' stdenv: writes the notes of the ELF files of all outputs, in one elfnote process.
#
#   dontBuildElfCache  set: no notes
#   elfnoteFlags       more flags for `elfnote build-cache`, a string or an array; `--strict` fails the build when a
#                      library is not found or a file cannot be worked on (without it both are warnings)
#
# A note is made from the final run path. `runHook postFixup` runs the package's own postFixup, then postFixupHooks
# in order; autoPatchelfHook and others add to that array when they are sourced, packages from preFixup. preFixupHooks
# run after both, so what one of them adds comes last.
preFixupHooks+=(elfnoteRegister)

elfnoteRegister() {
    # Sourced twice (two dependency kinds), it still runs once.
    if [[ " ${postFixupHooks[*]-} " != *" elfnoteBuildCache "* ]]; then
        postFixupHooks+=(elfnoteBuildCache)
    fi
}

elfnoteBuildCache() {
    if [[ -n ${dontBuildElfCache-} ]]; then
        echo "no ELF cache notes: dontBuildElfCache is set"
        return 0
    fi
    # dontPatchELF asks to leave ELF files alone; where autoPatchelf rewrites them all the same, it is not meant so.
    if [[ -n ${dontPatchELF-} ]] && ! elfnoteAutoPatchelfRuns; then
        echo "no ELF cache notes: dontPatchELF is set"
        return 0
    fi

    local -a flags=()
    if [[ $(declare -p elfnoteFlags 2>/dev/null) == 'declare -a'* ]]; then
        flags=("${elfnoteFlags[@]}")
    else
        # `read` has no delimiter to find here and says so with its exit status.
        read -r -d '' -a flags <<<"${elfnoteFlags-}" || true
    fi

    local output path
    local -a paths=()
    for output in $(getAllOutputNames); do
        path=${!output-}
        # What a link leads to is another package's.
        if [[ -n $path && -e $path && ! -L $path ]]; then paths+=("$path"); fi
    done
    if ((${#paths[@]} == 0)); then return 0; fi

    echo "writing ELF cache notes"
    @elfnote@ build-cache --hook "${flags[@]}" -- "${paths[@]}"
}

elfnoteAutoPatchelfRuns() {
    declare -F autoPatchelf >/dev/null && [[ -z ${dontAutoPatchelf-} ]]
}
