package acceptance

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"showrunner/internal/awsclitest"
)

// awsCommand is the aws command of tests that need no start of the installed one: it
// runs the installed code without a start of Python. The first test that asks for it
// starts the interpreter.
type awsCommand struct {
	once        sync.Once
	program     string
	path        string // a PATH in which aws is that program
	interpreter *awsclitest.Interpreter
	err         error
}

var sharedAWS awsCommand

func (a *awsCommand) start() {
	a.path = os.Getenv("PATH")
	if a.program, a.err = exec.LookPath("aws"); a.err != nil {
		return
	}
	if _, err := awsclitest.Python(); err != nil {
		fmt.Fprintln(os.Stderr, "each aws command is a start of its own:", err)
		return
	}
	folder := filepath.Join(filepath.Dir(binary), "aws")
	if a.err = os.Mkdir(folder, 0o700); a.err != nil {
		return
	}
	if a.interpreter, a.err = awsclitest.Start(folder); a.err == nil {
		a.program, a.path = filepath.Join(folder, "aws"), a.interpreter.Path()
	}
}

// ready is the command once its interpreter runs.
func (a *awsCommand) ready(t *testing.T) *awsCommand {
	t.Helper()
	a.once.Do(a.start)
	if a.err != nil {
		t.Fatal("the aws command of the tests: ", a.err)
	}
	return a
}

// stop ends the interpreter after all tests.
func (a *awsCommand) stop() {
	a.once.Do(func() { a.err = errors.New("the tests have ended") })
	if a.interpreter == nil {
		return
	}
	if err := a.interpreter.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "the interpreter of the aws command:", err)
	}
}
