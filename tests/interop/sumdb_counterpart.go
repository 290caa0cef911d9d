// Command sumdb_counterpart reads and writes our logs with Go's sumdb/note and sumdb/tlog: one question as JSON on
// standard input, the answer as JSON on standard output.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type question struct {
	Do      string
	Note    string
	Keys    []string
	Secret  string
	Text    string
	Sizes   []int64
	Size    int64
	Root    []byte
	Tiles   map[string][]byte
	Indexes []int64
	Old     []int64
	Proof   string
	Entry   []byte
}

func main() { serve(answerTo) }

func answerTo(asked question) (any, error) {
	switch asked.Do {
	case "open":
		return open(asked)
	case "sign":
		return sign(asked)
	case "grow":
		return grow(asked.Sizes)
	case "prove":
		return prove(asked)
	case "verify":
		return verify(asked)
	}
	return nil, errors.New("unknown question")
}

// open tells who signed a note. A note that nobody known signed, but that can be read, has no names.
func open(asked question) (any, error) {
	found, err := opened(asked.Note, asked.Keys)
	var unverified *note.UnverifiedNoteError
	if errors.As(err, &unverified) {
		found, err = unverified.Note, nil
	}
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, signature := range found.Sigs {
		names = append(names, signature.Name)
	}
	return map[string]any{"text": found.Text, "signed": names}, nil
}

func sign(asked question) (any, error) {
	signer, err := note.NewSigner(asked.Secret)
	if err != nil {
		return nil, err
	}
	data, err := note.Sign(&note.Note{Text: asked.Text}, signer)
	return string(data), err
}

// grow returns the digest of every tile that a log of the entries `entry 0`, `entry 1` and so on writes at these sizes.
func grow(sizes []int64) (any, error) {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			hashes[i] = stored[index]
		}
		return hashes, nil
	})
	digests := map[string]string{}
	var old int64
	for _, size := range sizes {
		for n := old; n < size; n++ {
			hashes, err := tlog.StoredHashes(n, fmt.Appendf(nil, "entry %d", n), reader)
			if err != nil {
				return nil, err
			}
			stored = append(stored, hashes...)
		}
		for _, tile := range tlog.NewTiles(height, old, size) {
			data, err := tlog.ReadTileData(tile, reader)
			if err != nil {
				return nil, err
			}
			digest := sha256.Sum256(data)
			digests[c2spPath(tile)] = hex.EncodeToString(digest[:])
		}
		old = size
	}
	root, err := tlog.TreeHash(old, reader)
	return map[string]any{"root": root[:], "sha256": digests}, err
}

// given reads tiles out of a question.
type given map[string][]byte

func (g given) Height() int { return height }
func (g given) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range tiles {
		data, ok := g[c2spPath(tile)]
		if !ok {
			return nil, errors.New("missing " + c2spPath(tile))
		}
		found = append(found, data)
	}
	return found, nil
}
func (g given) SaveTiles([]tlog.Tile, [][]byte) {}

// prove makes proofs from tiles that it has checked against the root.
func prove(asked question) (any, error) {
	tree := tlog.Tree{N: asked.Size}
	copy(tree.Hash[:], asked.Root)
	reader := tlog.TileHashReader(tree, given(asked.Tiles))
	inclusion, consistency := [][]tlog.Hash{}, [][]tlog.Hash{}
	for _, index := range asked.Indexes {
		proof, err := tlog.ProveRecord(tree.N, index, reader)
		if err != nil {
			return nil, err
		}
		inclusion = append(inclusion, proof)
	}
	for _, old := range asked.Old {
		proof, err := tlog.ProveTree(tree.N, old, reader)
		if err != nil {
			return nil, err
		}
		root, err := tlog.TreeHash(old, reader)
		if err != nil {
			return nil, err
		}
		if err := tlog.CheckTree(proof, tree.N, tree.Hash, old, root); err != nil {
			return nil, err
		}
		consistency = append(consistency, proof)
	}
	return map[string]any{"inclusion": inclusion, "consistency": consistency}, nil
}

// verify reads a C2SP tlog-proof and tells who signed the log in which the entry stands.
func verify(asked question) (any, error) {
	head, checkpoint, _ := strings.Cut(asked.Proof, "\n\n")
	lines := strings.Split(head, "\n")
	if lines[0] != "c2sp.org/tlog-proof@v1" {
		return nil, errors.New("another version")
	}
	lines = lines[1:]
	if strings.HasPrefix(lines[0], "extra ") {
		lines = lines[1:]
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[0], "index "), 10, 64)
	if err != nil {
		return nil, err
	}
	var proof tlog.RecordProof
	for _, line := range lines[1:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return nil, err
		}
		proof = append(proof, hash)
	}
	found, err := opened(checkpoint, asked.Keys)
	if err != nil {
		return nil, err
	}
	text := strings.Split(found.Text, "\n")
	size, err := strconv.ParseInt(text[1], 10, 64)
	if err != nil {
		return nil, err
	}
	root, err := tlog.ParseHash(text[2])
	if err != nil {
		return nil, err
	}
	if err := tlog.CheckRecord(proof, size, root, index, tlog.RecordHash(asked.Entry)); err != nil {
		return nil, err
	}
	return len(found.Sigs), nil
}
