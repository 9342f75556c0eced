package ec2

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"showrunner/awsapi/wire"
)

// documentAddresses are the addresses of the blocks 192.0.2.0/24, 198.51.100.0/24 and
// 203.0.113.0/24, which are for documents: nobody has them.
func documentAddresses() []string {
	var out []string
	for _, block := range []string{"203.0.113", "198.51.100", "192.0.2"} {
		for n := 1; n < 255; n++ {
			out = append(out, fmt.Sprintf("%s.%d", block, n))
		}
	}
	return out
}

// keyNamed finds a key pair by its name.
func (s *Service) keyNamed(ctx context.Context, region, name string) (object, error) {
	all, err := s.all(ctx, region, "key-pair")
	if err != nil {
		return nil, err
	}
	if at := slices.IndexFunc(all, func(o object) bool { return o.Text("KeyName") == name }); at >= 0 {
		return all[at], nil
	}
	return nil, wire.Errorf("InvalidKeyPair.NotFound", "The key pair '%s' does not exist", name)
}

// keepKey keeps a new key pair. Its private key is told once and kept nowhere.
func (s *Service) keepKey(ctx context.Context, c *wire.Call, in object, kind, fingerprint, public string) (object, error) {
	name := in.Text("KeyName")
	if _, err := s.keyNamed(ctx, c.Region, name); err == nil {
		return nil, wire.Errorf("InvalidKeyPair.Duplicate", "The keypair already exists")
	} else if wire.CodeOf(err) != "InvalidKeyPair.NotFound" {
		return nil, err
	}
	data := object{"KeyPairId": derivedID("key-", c.Region, name), "KeyName": name, "KeyType": kind, "KeyFingerprint": fingerprint, "CreateTime": s.Now().UTC()}
	return s.keep(ctx, c.Region, "key-pair", data, object{"PublicKey": public}, in)
}

func (s *Service) createKeyPair(ctx context.Context, c *wire.Call, in object) (object, error) {
	if in.Text("KeyFormat") == "ppk" {
		return nil, wire.Errorf("InvalidParameterValue", "The key format ppk is not made here; pem is.")
	}
	kind := in.Text("KeyType")
	if kind == "" {
		kind = "rsa"
	}
	material, fingerprint, public, err := newKey(kind)
	if err != nil {
		return nil, err
	}
	data, err := s.keepKey(ctx, c, in, kind, fingerprint, public)
	if err != nil {
		return nil, err
	}
	return data.Only("KeyPairId", "KeyName", "KeyFingerprint", "Tags").With(object{"KeyMaterial": material}), nil
}

// newKey makes a key pair: the private key as PEM, its fingerprint as AWS computes
// it, and the public key as SSH has it.
func newKey(kind string) (material, fingerprint, public string, err error) {
	if kind == "ed25519" {
		pub, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return "", "", "", err
		}
		block, err := ssh.MarshalPrivateKey(private, "")
		if err != nil {
			return "", "", "", err
		}
		key, err := ssh.NewPublicKey(pub)
		if err != nil {
			return "", "", "", err
		}
		return string(pem.EncodeToMemory(block)), sshFingerprint(key), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))), nil
	}
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", "", "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", "", err
	}
	key, err := ssh.NewPublicKey(&private.PublicKey)
	if err != nil {
		return "", "", "", err
	}
	sum := sha1.Sum(der)
	block := pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)}
	return string(pem.EncodeToMemory(&block)), colons(sum[:]), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))), nil
}

func colons(sum []byte) string {
	var out []string
	for _, b := range sum {
		out = append(out, hex.EncodeToString([]byte{b}))
	}
	return strings.Join(out, ":")
}

func sshFingerprint(key ssh.PublicKey) string {
	sum := sha256.Sum256(key.Marshal())
	return base64.StdEncoding.EncodeToString(sum[:])
}

func (s *Service) importKeyPair(ctx context.Context, c *wire.Call, in object) (object, error) {
	raw, _ := in["PublicKeyMaterial"].([]byte)
	key, _, _, _, err := ssh.ParseAuthorizedKey(raw)
	if err != nil {
		return nil, wire.Errorf("InvalidKey.Format", "Key is not in valid OpenSSH public key format")
	}
	kind, fingerprint := "ed25519", sshFingerprint(key)
	if crypto, ok := key.(ssh.CryptoPublicKey); ok {
		switch pub := crypto.CryptoPublicKey().(type) {
		case *rsa.PublicKey:
			der, err := x509.MarshalPKIXPublicKey(pub)
			if err != nil {
				return nil, err
			}
			sum := md5.Sum(der)
			kind, fingerprint = "rsa", colons(sum[:])
		case *ecdsa.PublicKey:
			return nil, wire.Errorf("InvalidKey.Format", "Key is not in valid OpenSSH public key format")
		}
	}
	data, err := s.keepKey(ctx, c, in, kind, fingerprint, strings.TrimSpace(string(raw)))
	if err != nil {
		return nil, err
	}
	return data.Only("KeyPairId", "KeyName", "KeyFingerprint", "Tags"), nil
}

func (s *Service) deleteKeyPair(ctx context.Context, c *wire.Call, in object) (object, error) {
	id := in.Text("KeyPairId")
	if name := in.Text("KeyName"); id == "" && name != "" {
		o, err := s.keyNamed(ctx, c.Region, name)
		switch {
		case wire.CodeOf(err) == "InvalidKeyPair.NotFound":
			return object{"Return": true}, nil // as AWS
		case err != nil:
			return nil, err
		}
		id = o.Text("KeyPairId")
	}
	return object{"Return": true, "KeyPairId": id}, s.remove(ctx, c.Region, "key-pair", id)
}

func (s *Service) describeKeyPairs(ctx context.Context, c *wire.Call, in object) (object, error) {
	for _, name := range in.Texts("KeyNames") {
		if _, err := s.keyNamed(ctx, c.Region, name); err != nil {
			return nil, err
		}
	}
	out, err := s.describe("key-pair", func(ctx context.Context, region string, all []object) error {
		for _, o := range all {
			if in.Is("IncludePublicKey") {
				d, err := s.keptResource(ctx, region, "key-pair", o.Text("KeyPairId"))
				if err != nil {
					return err
				}
				o["PublicKey"] = d.Extra.Text("PublicKey")
			}
		}
		return nil
	})(ctx, c, in)
	if names := in.Texts("KeyNames"); err == nil && len(names) > 0 {
		out["KeyPairs"] = wire.List(slices.DeleteFunc(out.Objects("KeyPairs"), func(o object) bool { return !slices.Contains(names, o.Text("KeyName")) }))
	}
	return out, err
}
