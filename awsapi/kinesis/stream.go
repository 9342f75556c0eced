package kinesis

import (
	"crypto/md5" //nolint:gosec // AWS's partitioning is defined by it
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/wire"
)

// stream is the document of one stream.
type stream struct {
	ARN            string            `json:"arn"`
	Name           string            `json:"name"`
	Mode           string            `json:"mode"` // PROVISIONED or ON_DEMAND
	RetentionHours int64             `json:"retentionHours"`
	Created        time.Time         `json:"created"`
	Tags           map[string]string `json:"tags,omitempty"`
	Policy         string            `json:"policy,omitempty"`
	Key            string            `json:"key,omitempty"`     // of its encryption; empty: there is none
	Metrics        []string          `json:"metrics,omitempty"` // of its shards, kept and returned
	Consumers      []consumer        `json:"consumers,omitempty"`
	Shards         []shard           `json:"shards"`
}

// shard is a range of hash keys, both ends included.
type shard struct {
	Index    int      `json:"index"`
	From     *big.Int `json:"from"`
	To       *big.Int `json:"to"`
	Parent   *int     `json:"parent,omitempty"`
	Adjacent *int     `json:"adjacent,omitempty"` // the other parent of a merge
	// End is its last chunk when it was closed; nil: it is open.
	End *int64 `json:"end,omitempty"`
}

const (
	firstRetention = 24
	mostRetention  = 8760
	mostShards     = 500
	onDemandShards = 4
)

// hashes is how many hash keys there are.
func hashes() *big.Int { return new(big.Int).Lsh(big.NewInt(1), 128) }

// evenShards divides the hash keys evenly.
func evenShards(n int) []shard {
	var out []shard
	start := func(i int) *big.Int {
		at := new(big.Int).Mul(hashes(), big.NewInt(int64(i)))
		return at.Div(at, big.NewInt(int64(n)))
	}
	for i := range n {
		out = append(out, shard{Index: i, From: start(i), To: new(big.Int).Sub(start(i+1), big.NewInt(1))})
	}
	return out
}

// hash is the hash key of a partition key.
func hash(key string) *big.Int {
	sum := md5.Sum([]byte(key)) //nolint:gosec // as above
	return new(big.Int).SetBytes(sum[:])
}

// shardFor is the open shard of a hash key.
func (s *stream) shardFor(key *big.Int) *shard {
	for i := range s.Shards {
		if sh := &s.Shards[i]; sh.End == nil && sh.From.Cmp(key) <= 0 && sh.To.Cmp(key) >= 0 {
			return sh
		}
	}
	return nil
}

func (s *stream) open() (n int64) {
	for _, sh := range s.Shards {
		if sh.End == nil {
			n++
		}
	}
	return n
}

// id is what clients call a shard.
func (s shard) id() string { return shardID(s.Index) }

func shardID(index int) string { return fmt.Sprintf("shardId-%012d", index) }

// shard is the shard of an identifier.
func (s *stream) shard(id string) (*shard, error) {
	at := slices.IndexFunc(s.Shards, func(sh shard) bool { return sh.id() == id })
	if at < 0 {
		return nil, wire.Errorf("ResourceNotFoundException", "Could not find shard %s in stream %s under account %s.", id, s.Name, account(s.ARN))
	}
	return &s.Shards[at], nil
}

// account is the account in an ARN.
func account(arn string) string { return strings.Split(arn, ":")[4] }

// A sequence number is 56 digits: 49, the chunk (20), the place in it (9), the shard (25).
const (
	sequenceStart  = "49"
	chunkDigits    = 20
	placeDigits    = 9
	shardDigits    = 25
	sequenceDigits = len(sequenceStart) + chunkDigits + placeDigits + shardDigits
)

func sequence(index int, chunk int64, place int) string {
	return fmt.Sprintf("%s%020d%09d%025d", sequenceStart, chunk, place, index)
}

// position is a place in a shard: the record with this place in this chunk.
type position struct {
	Chunk int64 `json:"c"`
	Place int   `json:"p"`
}

// parseSequence is the position of a sequence number of a shard.
func parseSequence(text string, index int) (position, bool) {
	var p position
	var from int
	if len(text) != sequenceDigits || strings.Trim(text, "0123456789") != "" || text[:len(sequenceStart)] != sequenceStart {
		return p, false
	}
	rest := text[len(sequenceStart):]
	n, err := fmt.Sscanf(rest[:chunkDigits]+" "+rest[chunkDigits:chunkDigits+placeDigits]+" "+rest[chunkDigits+placeDigits:], "%d %d %d", &p.Chunk, &p.Place, &from)
	return p, n == 3 && err == nil && from == index
}
