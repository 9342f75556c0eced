package driver

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"showrunner/pipeline"
)

// Fingerprint identifies a version by its whole specification: its workload, its
// environment and every option. Left out are the execution, which differs between
// two creations of the same version, and capacity and weight, which change later
// without a new version. The values of the environment are included as a keyed
// digest, so that a secret cannot be guessed from a fingerprint without the key.
func Fingerprint(s ServerGroupSpec, key []byte) string {
	env := make(map[string]string, len(s.Env))
	for name, v := range s.Env {
		env[name] = v.Secret
		if v.Secret == "" {
			env[name] = keyed(key, name, v.Value)
		}
	}
	s.Env, s.Fingerprint, s.Execution = nil, "", ""
	s.Capacity, s.Weight = pipeline.Capacity{}, 0
	text, err := json.Marshal(struct {
		Spec plainSpec         `json:"spec"`
		Env  map[string]string `json:"env"`
	}{plainSpec(s), env})
	if err != nil {
		return "" // unreachable: a specification is plain data
	}
	return keyed(key, "spec", string(text))
}

// keyed is a digest that cannot be computed without the key.
func keyed(key []byte, parts ...string) string {
	mac := hmac.New(sha256.New, key)
	for _, p := range parts {
		size := len(p)
		mac.Write([]byte{byte(size >> 24), byte(size >> 16), byte(size >> 8), byte(size)})
		mac.Write([]byte(p))
	}
	return hex.EncodeToString(mac.Sum(nil)[:16])
}
