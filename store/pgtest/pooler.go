package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrNoPooler says that this machine has no connection pooler.
var ErrNoPooler = errors.New("no pgbouncer found")

// Pool starts pgbouncer in transaction mode in front of a database of the server,
// and returns the pooler's address. The pooler does not support prepared
// statements.
func (s *Server) Pool(ctx context.Context, address string) (pooled string, stop func() error, err error) {
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		return "", nil, ErrNoPooler
	}
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return "", nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	name := filepath.Join(s.dir, "pgbouncer-"+config.Database+".ini")
	text := fmt.Sprintf("[databases]\n%s = host=%s dbname=%s user=test\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\nunix_socket_dir =\n"+
		"auth_type = any\npool_mode = transaction\ndefault_pool_size = 20\nmax_client_conn = 500\n", config.Database, s.dir, config.Database, port)
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		return "", nil, err
	}
	cmd := exec.Command(program, name)
	if s.user != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.user}
	}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // it was killed by stop
		close(ended)
	}()
	stop = func() error {
		err := cmd.Process.Kill()
		<-ended
		return err
	}
	pooled = "postgres://test@127.0.0.1:" + strconv.Itoa(port) + "/" + config.Database + "?sslmode=disable"
	for {
		conn, err := pgx.Connect(ctx, pooled)
		if err == nil {
			return pooled, stop, conn.Close(ctx)
		}
		select {
		case <-ended:
			return "", nil, fmt.Errorf("pgbouncer did not start: %s", said.String())
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return "", nil, errors.Join(ctx.Err(), stop())
		}
	}
}
