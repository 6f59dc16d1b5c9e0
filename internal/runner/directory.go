package runner

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"strconv"
	"strings"

	"tminus.dev/internal/ident"
)

// executionsDir holds the attempts, in the data directory; in it, lockFile says
// that somebody runs them, and identityFile who that is.
const (
	executionsDir = "executions"
	lockFile      = ".lock"
	identityFile  = ".runner"
)

// What is in the directory of an attempt.
const (
	stdoutFile    = "stdout"
	stderrFile    = "stderr"
	taskFile      = "task.pb"    // {{.taskTemplatePath}}
	inputsDir     = "inputs"     // {{.inputPrefix}}
	inputsFile    = "inputs.pb"  // {{.input}}, in inputsDir
	outputsDir    = "outputs"    // {{.outputPrefix}}
	outputsFile   = "outputs.pb" // in outputsDir
	errorFile     = "error.pb"   // in outputsDir
	futuresFile   = "futures.pb" // in outputsDir, of a dynamic workflow
	rawErrorFile  = "_ERROR"     // in outputsDir, of a raw container
	rawDir        = "raw"        // {{.rawOutputDataPrefix}}
	checkpointDir = "checkpoint" // {{.checkpointOutputPrefix}}
	workDir       = "work"       // the working directory
)

// executionDir is where an execution's attempts live, relative to the data directory.
func executionDir(key ident.Key) string {
	return filepath.Join(executionsDir, element(key.Project), element(key.Domain), element(key.Name))
}

// attemptDir is an attempt's directory, relative to the data directory.
func attemptDir(execution ident.Key, node string, attempt int) string {
	return filepath.Join(executionDir(execution), element(node), strconv.Itoa(attempt))
}

// maxElement is the longest name that is used as it is, in bytes.
const maxElement = 100

// element is a name as one element of a path: the name itself if it is short
// and plain, and otherwise what is plain of it with a hash, so that different
// names never meet, not even where file systems ignore case.
func element(name string) string {
	var plain strings.Builder
	for _, c := range []byte(name) {
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.' && plain.Len() > 0 {
			plain.WriteByte(c)
		}
	}
	if plain.String() == name && 0 < len(name) && len(name) <= maxElement {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	kept := plain.String()
	return kept[:min(len(kept), maxElement/2)] + "~" + hex.EncodeToString(sum[:8])
}
