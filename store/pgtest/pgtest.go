// Package pgtest starts a private PostgreSQL server for the tests of a package: a
// real server, empty, on a unix socket in a temporary folder, removed afterwards.
package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrNone says that this machine has no PostgreSQL.
var ErrNone = errors.New("no PostgreSQL found: neither in PATH nor under /usr/lib/postgresql")

// Server is a running PostgreSQL server.
type Server struct {
	dir, bin string
	settings []string
	user     *syscall.Credential // nil: this process's user
	cmd      *exec.Cmd
	next     atomic.Int64
}

// Find returns the folder of the PostgreSQL programs.
func Find() (string, error) {
	if p, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(p), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", ErrNone
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1]), nil
}

// Settings of a server.
var (
	// Fast does not flush to disk: the machine does not crash in a test.
	Fast = []string{"-c", "fsync=off"}
	// Durable is like a production server: every commit is flushed to disk.
	Durable []string
)

// Start makes a database cluster in a temporary folder and starts a server on it.
func Start(ctx context.Context) (*Server, error) { return StartIn(ctx, "", Fast) }

// StartIn is Start with the parent folder and the settings of the server.
func StartIn(ctx context.Context, parent string, settings []string) (*Server, error) {
	bin, err := Find()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, settings: settings}
	if s.dir, err = os.MkdirTemp(parent, "pg"); err != nil {
		return nil, err
	}
	if s.dir, err = filepath.Abs(s.dir); err != nil {
		return nil, err
	}
	if os.Getuid() == 0 { // the server refuses to run as root
		if err := s.dropRoot(); err != nil {
			return nil, errors.Join(err, os.RemoveAll(s.dir))
		}
	}
	initdb := s.command(ctx, "initdb", "-D", s.data(), "-U", "test", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("initdb: %w: %s", err, out), os.RemoveAll(s.dir))
	}
	if err := s.Up(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	return s, nil
}

// Reopen starts a server on the folder that an earlier server used and Shutdown kept;
// it makes a new cluster when there is none.
func Reopen(ctx context.Context, dir string, settings []string) (*Server, error) {
	found, err := filepath.Glob(filepath.Join(dir, "pg*", "data", "PG_VERSION"))
	if err != nil || len(found) == 0 {
		return StartIn(ctx, dir, settings)
	}
	bin, err := Find()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, settings: settings}
	if s.dir, err = filepath.Abs(filepath.Dir(filepath.Dir(found[0]))); err != nil {
		return nil, err
	}
	s.next.Store(time.Now().Unix()) // existing databases keep their names
	if os.Getuid() == 0 {
		err = s.dropRoot()
	}
	return s, errors.Join(err, s.Up(ctx))
}

// Shutdown stops the server cleanly, and keeps the folder for Reopen.
func (s *Server) Shutdown() error {
	err := s.cmd.Process.Signal(syscall.SIGINT)
	return errors.Join(err, s.cmd.Wait())
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) dropRoot() error {
	u, err := user.Lookup("postgres")
	if err != nil {
		return fmt.Errorf("running as root without a user to run PostgreSQL as: %w", err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return err
	}
	s.user = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(s.dir, uid, gid)
}

func (s *Server) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	if s.user != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.user}
	}
	return cmd
}

// Up starts the server and waits until it answers.
func (s *Server) Up(ctx context.Context) error {
	args := append([]string{"-D", s.data(), "-k", s.dir, "-c", "listen_addresses=", "-c", "max_connections=200", "-c", "logging_collector=off"}, s.settings...)
	s.cmd = s.command(context.WithoutCancel(ctx), "postgres", args...)
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.Address("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		t := time.NewTimer(20 * time.Millisecond)
		select {
		case <-t.C:
		case <-ctx.Done():
			text, _ := os.ReadFile(log.Name())
			return errors.Join(fmt.Errorf("the server does not answer: %w: %s", err, text), s.Down())
		}
	}
}

// Down stops the server at once, as a crash would. The data are kept.
func (s *Server) Down() error {
	if s.cmd == nil || s.cmd.Process == nil {
		return nil
	}
	err := s.cmd.Process.Signal(syscall.SIGQUIT)
	_ = s.cmd.Wait() // the error only says that the server was killed
	s.cmd = nil
	return err
}

// Pause stops every process of the server: connections stay open, and nothing is
// answered. Resume continues the processes.
func (s *Server) Pause() error { return s.signalAll(syscall.SIGSTOP) }

// Resume undoes Pause.
func (s *Server) Resume() error { return s.signalAll(syscall.SIGCONT) }

// signalAll signals the server first, so that it starts no other process, and
// then its child processes.
func (s *Server) signalAll(signal syscall.Signal) error {
	parent := s.cmd.Process.Pid
	if err := syscall.Kill(parent, signal); err != nil {
		return err
	}
	names, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // the process has ended
		}
		var pid, ppid int
		var state string
		rest := text[bytes.LastIndexByte(text, ')')+1:] // the name before it may hold any character
		if _, err := fmt.Sscan(string(text), &pid); err != nil {
			continue
		}
		if _, err := fmt.Sscan(string(rest), &state, &ppid); err != nil || ppid != parent {
			continue
		}
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}

// Stop ends the server and removes everything.
func (s *Server) Stop() error { return errors.Join(s.Down(), os.RemoveAll(s.dir)) }

// Address is the address of a database of the server.
func (s *Server) Address(database string) string {
	return "postgres://test@/" + database + "?host=" + s.dir
}

// Database makes an empty database and returns its address.
func (s *Server) Database(ctx context.Context) (string, error) {
	return s.CopyDatabase(ctx, "test"+strconv.FormatInt(s.next.Add(1), 10), "template1")
}

// CopyDatabase makes a database as a copy of a template, which nobody may be connected
// to.
func (s *Server) CopyDatabase(ctx context.Context, name, template string) (string, error) {
	conn, err := pgx.Connect(ctx, s.Address("postgres"))
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, `CREATE DATABASE `+pgx.Identifier{name}.Sanitize()+` TEMPLATE `+pgx.Identifier{template}.Sanitize())
	return s.Address(name), err
}

// Size returns how many bytes of disk a database uses.
func (s *Server) Size(ctx context.Context, address string) int64 {
	var n int64
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return 0
	}
	defer conn.Close(ctx)
	if err := conn.QueryRow(ctx, `SELECT pg_database_size(current_database())`).Scan(&n); err != nil {
		return 0
	}
	return n
}

// Query runs statements in a database, one or several, and returns the rows of the
// last one as text.
func (s *Server) Query(ctx context.Context, address, text string) ([][]string, error) {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	results, err := conn.PgConn().Exec(ctx, text).ReadAll()
	if err != nil || len(results) == 0 {
		return nil, err
	}
	var rows [][]string
	for _, r := range results[len(results)-1].Rows {
		row := make([]string, len(r))
		for i, v := range r {
			row[i] = string(v)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// Drop removes a database that nobody is connected to, if it exists.
func (s *Server) Drop(ctx context.Context, address string) error {
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, s.Address("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, `DROP DATABASE IF EXISTS `+pgx.Identifier{config.Database}.Sanitize())
	return err
}
