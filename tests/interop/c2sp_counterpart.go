// What the counterparts in Go share: C2SP names of tiles, verifier keys, and one question and answer as JSON.
package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

// serve reads a question from standard input and prints its answer or its error.
func serve[Q any](answerTo func(Q) (any, error)) {
	var asked Q
	var answer any
	err := json.NewDecoder(os.Stdin).Decode(&asked)
	if err == nil {
		answer, err = answerTo(asked)
	}
	if err != nil {
		answer = map[string]string{"error": err.Error()}
	}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		panic(err)
	}
}

// cosigner verifies timestamped cosignatures (type 0x04), which sumdb/note does not know.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (c cosigner) Name() string    { return c.name }
func (c cosigner) KeyHash() uint32 { return c.hash }
func (c cosigner) Verify(text, signature []byte) bool {
	if len(signature) != 8+ed25519.SignatureSize {
		return false
	}
	at := binary.BigEndian.Uint64(signature)
	return ed25519.Verify(c.key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, text), signature[8:])
}

func verifier(vkey string) (note.Verifier, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) == 3 {
		hash, err := strconv.ParseUint(parts[1], 16, 32)
		key, err64 := base64.StdEncoding.DecodeString(parts[2])
		if err == nil && err64 == nil && len(key) == 33 && key[0] == 4 {
			return cosigner{parts[0], uint32(hash), key[1:]}, nil
		}
	}
	return note.NewVerifier(vkey)
}

func opened(data string, vkeys []string) (*note.Note, error) {
	var keys []note.Verifier
	for _, vkey := range vkeys {
		key, err := verifier(vkey)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return note.Open([]byte(data), note.VerifierList(keys...))
}

// c2spPath returns the path of a tile as C2SP has it, without the tile height.
func c2spPath(tile tlog.Tile) string {
	return "tile/" + strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d/", height))
}
