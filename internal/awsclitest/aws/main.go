// Command aws stands for the installed aws command in tests: it hands its arguments,
// environment, folder and standard streams to the interpreter that package awsclitest has
// started, and exits as the command does that runs there.
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

func main() {
	code, err := run()
	if err != nil {
		fmt.Fprintf(os.Stderr, "aws: the shared interpreter of the tests: %v\n", err)
		code = 1
	}
	os.Exit(code)
}

// run sends the request and waits for the exit code. When this process ends first, the
// interpreter sees the connection close and ends the command.
func run() (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	folder, err := os.Getwd()
	if err != nil {
		return 0, err
	}
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: filepath.Join(filepath.Dir(self), "interpreter.sock"), Net: "unix"})
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	request := encode(folder, os.Args[1:], os.Environ())
	length := binary.BigEndian.AppendUint32(nil, uint32(len(request)))
	if _, _, err := conn.WriteMsgUnix(length, syscall.UnixRights(0, 1, 2), nil); err != nil {
		return 0, err
	}
	if _, err := conn.Write(request); err != nil {
		return 0, err
	}
	var code [1]byte
	if _, err := io.ReadFull(conn, code[:]); err != nil {
		return 0, fmt.Errorf("the command ended without an exit code: %w", err)
	}
	return int(code[0]), nil
}

// encode writes texts with a NUL byte after each: the folder, the number of arguments,
// the arguments, the environment.
func encode(folder string, args, env []string) []byte {
	var b bytes.Buffer
	texts := append([]string{folder, strconv.Itoa(len(args))}, args...)
	for _, text := range append(texts, env...) {
		b.WriteString(text)
		b.WriteByte(0)
	}
	return b.Bytes()
}
