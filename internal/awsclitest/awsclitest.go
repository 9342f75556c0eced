// Package awsclitest starts the installed aws command for tests. Most of what a command of
// it costs is the start of Python and its imports; here many commands share one
// interpreter, and each runs the unmodified command in a fork of it.
package awsclitest

import (
	"bufio"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed interpreter.py
var program string

// Interpreter is a Python process that has loaded the aws command.
type Interpreter struct {
	// Folder holds a program named aws that runs its arguments in the interpreter. It
	// goes before the other folders of a PATH.
	Folder string

	python *exec.Cmd
	end    io.Closer // its standard input, which ends it
}

// Start starts an interpreter that keeps its files in an empty folder. It fails where
// no aws command is installed, or one that brings a Python of its own.
func Start(folder string) (*Interpreter, error) {
	python, err := Python()
	if err != nil {
		return nil, err
	}
	build := exec.Command("go", "build", "-o", filepath.Join(folder, "aws"), "showrunner/internal/awsclitest/aws")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the client of the interpreter: %w\n%s", err, out)
	}
	i := &Interpreter{Folder: folder, python: exec.Command(python, "-c", program, filepath.Join(folder, "interpreter.sock"))}
	i.python.Stderr = os.Stderr
	if i.end, err = i.python.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := i.python.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := i.python.Start(); err != nil {
		return nil, err
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		return nil, errors.Join(fmt.Errorf("the interpreter says %q: %w", line, err), i.Stop())
	}
	return i, nil
}

// Path is the value of PATH with which the interpreter's aws is found before the
// installed one.
func (i *Interpreter) Path() string {
	return i.Folder + string(os.PathListSeparator) + os.Getenv("PATH")
}

// Stop ends the interpreter.
func (i *Interpreter) Stop() error {
	i.end.Close()
	return i.python.Wait()
}

// Python is the program that the installed aws command runs in. It fails where no aws
// command is installed, or one that is no program of Python.
func Python() (string, error) {
	command, err := exec.LookPath("aws")
	if err != nil {
		return "", err
	}
	program, err := runsIn(command)
	if err == nil && filepath.Base(program) == "bash" { // the script that pyenv puts before it
		var found []byte
		if found, err = exec.Command("pyenv", "which", "aws").Output(); err != nil {
			return "", fmt.Errorf("%s is a script, and not one of pyenv: %w", command, err)
		}
		command = strings.TrimSpace(string(found))
		program, err = runsIn(command)
	}
	if err != nil {
		return "", err
	}
	if !strings.HasPrefix(filepath.Base(program), "python") {
		return "", fmt.Errorf("%s runs in %s, not in Python", command, program)
	}
	return exec.LookPath(program)
}

// runsIn is the program that a script names in its first line.
func runsIn(script string) (string, error) {
	f, err := os.Open(script)
	if err != nil {
		return "", err
	}
	defer f.Close()
	line, err := bufio.NewReader(io.LimitReader(f, 1024)).ReadString('\n')
	rest, isScript := strings.CutPrefix(line, "#!")
	words := strings.Fields(rest)
	if err != nil || !isScript || len(words) == 0 {
		return "", fmt.Errorf("%s is not a script", script)
	}
	return words[len(words)-1], nil // #!/usr/bin/env names it last
}
