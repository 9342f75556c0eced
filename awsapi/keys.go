package awsapi

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"time"

	"showrunner/awsapi/signature"
)

// Account is the one account of this endpoint. No account of AWS has this number.
const Account = "000000000000"

// Keys are the endpoint's credentials: one random key of the owner, which the
// regions' object storages take too, and sessions that are made from it. A session needs no memory: its token holds what
// it is, sealed with the owner's secret, so that every replica knows it and a
// restart ends none.
type Keys struct {
	owner signature.Credentials
	seal  cipher.AEAD

	// Users, when it is set, finds the user whose key it is. A key that cannot be looked
	// up now is not found. It is set before the keys are used.
	Users func(key string) (User, bool)
}

// User is a user of IAM with the secret of one of the user's keys.
type User struct{ ID, ARN, Secret string }

// NewKeys makes the credentials of an endpoint from its owner's key.
func NewKeys(key, secret string) (*Keys, error) {
	sum := sha256.Sum256([]byte("session tokens\n" + secret))
	block, err := aes.NewCipher(sum[:])
	if err != nil {
		return nil, err
	}
	k := &Keys{owner: signature.Credentials{Key: key, Secret: secret, Caller: "arn:aws:iam::" + Account + ":root"}}
	k.seal, err = cipher.NewGCM(block)
	return k, err
}

// Owner are the credentials of the owner's key.
func (k *Keys) Owner() signature.Credentials { return k.owner }

// session is what a token holds.
type session struct {
	Key    string    `json:"k"`
	Secret string    `json:"s"`
	Until  time.Time `json:"u"`
	Caller string    `json:"c"`
}

// NewSession makes credentials of a caller that end at a time.
func (k *Keys) NewSession(caller string, until time.Time) (signature.Credentials, error) {
	s := session{Key: "ASIA" + rand.Text()[:16], Secret: rand.Text() + rand.Text()[:14], Until: until.UTC().Truncate(time.Second), Caller: caller}
	plain, err := json.Marshal(s)
	if err != nil {
		return signature.Credentials{}, err
	}
	nonce := make([]byte, k.seal.NonceSize())
	_, _ = rand.Read(nonce) // it never fails
	token := base64.StdEncoding.EncodeToString(k.seal.Seal(nonce, nonce, plain, []byte(s.Key)))
	return signature.Credentials{Key: s.Key, Secret: s.Secret, Token: token, Until: s.Until, Caller: caller}, nil
}

// UserID is the identifier of the user whose key it is; empty of another key.
func (k *Keys) UserID(key string) string {
	if key == k.owner.Key || k.Users == nil {
		return ""
	}
	user, _ := k.Users(key)
	return user.ID
}

// Find are the credentials of a key and a session's token.
func (k *Keys) Find(key, token string) (signature.Credentials, bool) {
	if key == k.owner.Key {
		return k.owner, true // Verify refuses a token beside it
	}
	if token == "" && k.Users != nil {
		user, found := k.Users(key)
		return signature.Credentials{Key: key, Secret: user.Secret, Caller: user.ARN}, found
	}
	sealed, err := base64.StdEncoding.DecodeString(token)
	if err != nil || len(sealed) < k.seal.NonceSize() {
		return signature.Credentials{}, false
	}
	n := k.seal.NonceSize()
	plain, err := k.seal.Open(nil, sealed[:n], sealed[n:], []byte(key))
	var s session
	if err != nil || json.Unmarshal(plain, &s) != nil || s.Key != key {
		return signature.Credentials{}, false
	}
	return signature.Credentials{Key: s.Key, Secret: s.Secret, Token: token, Until: s.Until, Caller: s.Caller}, true
}
