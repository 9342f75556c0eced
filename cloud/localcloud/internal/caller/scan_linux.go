package caller

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// Supported says whether connections can be traced to instances on this system.
const Supported = true

// scanner finds the sockets of processes that carry an instance's environment.
type scanner struct {
	known map[int]process // by process id
}

type process struct {
	start    string // when it began: the id may be another process's later
	instance Instance
}

func newScanner() *scanner { return &scanner{known: map[int]process{}} }

// scan is called by one goroutine at a time.
func (s *scanner) scan() map[netip.AddrPort]Instance {
	owners := map[uint64]Instance{} // by the number of the socket
	seen := map[int]process{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		p := s.process(pid)
		seen[pid] = p
		if p.instance.ID != "" {
			sockets(pid, p.instance, owners)
		}
	}
	s.known = seen
	found := map[netip.AddrPort]Instance{}
	if len(owners) > 0 {
		connections("/proc/net/tcp", owners, found)
		connections("/proc/net/tcp6", owners, found)
	}
	return found
}

// process is what is known of a process. One that was just made by a program may still
// carry its environment, and says so again after it has become another program.
func (s *scanner) process(pid int) process {
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return process{}
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 {
		return process{}
	}
	if p := s.known[pid]; p.start == fields[19] && p.instance.ID != "" {
		return p
	}
	p := process{start: fields[19]}
	env, err := os.ReadFile(dir + "/environ") // of our own user alone
	if err != nil || !bytes.Contains(env, []byte("SHOWRUNNER_INSTANCE=")) {
		return p
	}
	for variable := range strings.SplitSeq(string(env), "\x00") {
		if v, ok := strings.CutPrefix(variable, "SHOWRUNNER_INSTANCE="); ok {
			p.instance.ID = v
		}
		if v, ok := strings.CutPrefix(variable, "SHOWRUNNER_SERVER_GROUP="); ok {
			p.instance.ServerGroup = v
		}
	}
	return p
}

func sockets(pid int, owner Instance, owners map[uint64]Instance) {
	dir := "/proc/" + strconv.Itoa(pid) + "/fd/"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // it has ended
	}
	for _, e := range entries {
		link, err := os.Readlink(dir + e.Name())
		if err != nil {
			continue
		}
		if number, ok := strings.CutPrefix(link, "socket:["); ok {
			if n, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 64); err == nil {
				owners[n] = owner
			}
		}
	}
}

// connections adds the local addresses of the sockets that owners names.
func connections(table string, owners map[uint64]Instance, found map[netip.AddrPort]Instance) {
	file, err := os.Open(table)
	if err != nil {
		return
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Scan() // the head
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 {
			continue
		}
		number, err := strconv.ParseUint(fields[9], 10, 64)
		if err != nil {
			continue
		}
		if owner, ok := owners[number]; ok {
			if at, ok := parseAddress(fields[1]); ok {
				found[at] = owner
			}
		}
	}
}

// parseAddress reads an address as the kernel writes it: words of 32 bits in the
// machine's order, and the port.
func parseAddress(text string) (netip.AddrPort, bool) {
	address, port, ok := strings.Cut(text, ":")
	raw, err := hex.DecodeString(address)
	n, portErr := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || portErr != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	a, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), ok
}
