package wire

import "encoding/base64"

// Token hides where a list goes on.
func Token(key string) string {
	if key == "" {
		return ""
	}
	return base64.URLEncoding.EncodeToString([]byte(key))
}

// OpenToken is where a list goes on; false for a token that was not made by Token.
func OpenToken(token string) (string, bool) {
	key, err := base64.URLEncoding.DecodeString(token)
	return string(key), err == nil
}

// Page is how many entries an answer may have: what was asked for, or else otherwise.
func Page(asked *int64, otherwise int) int {
	if asked == nil {
		return otherwise
	}
	return int(*asked)
}
