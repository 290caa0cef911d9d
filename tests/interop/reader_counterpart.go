// Command reader_counterpart follows a log over HTTP and knows nothing but C2SP (signed-note, tlog-checkpoint,
// tlog-tiles, tlog-cosignature) and where the log is: the address and verifier keys come as JSON on standard input.
//
// It reads every checkpoint that it meets until the log has grown often enough, and verifies each: the signature, the
// tree recomputed from all entries, the inclusion of every entry, and consistency with every checkpoint before.
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

type question struct {
	URL       string   // of the log, such as http://127.0.0.1:40027/log
	Key       string   // verifier key of the log
	Witnesses []string // verifier keys of witnesses, every one of which must have cosigned the last checkpoint
	Growths   int      // how often the log must grow before the reader is content
	Patience  float64  // seconds to wait for all of that
}

// read is what is told about one checkpoint.
type read struct {
	Size int64
	Root tlog.Hash
}

func main() { serve(follow) }

func follow(asked question) (any, error) {
	log := &reader{url: asked.URL, key: asked.Key, witnesses: asked.Witnesses}
	deadline := time.Now().Add(time.Duration(asked.Patience * float64(time.Second)))
	var trees []tlog.Tree
	for {
		tree, cosigned, err := log.checkpoint()
		if err != nil {
			return nil, err
		}
		if len(trees) == 0 || tree != trees[len(trees)-1] {
			if err := log.verify(tree, trees); err != nil {
				return nil, fmt.Errorf("size %d: %w", tree.N, err)
			}
			trees = append(trees, tree)
		}
		if len(trees) > asked.Growths && cosigned == len(asked.Witnesses) {
			return log.told(trees, cosigned), nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("no patience: the log grew %d times, %d witnesses cosigned", len(trees)-1, cosigned)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

type reader struct {
	url, key  string
	witnesses []string
	entries   [][]byte          // of the tree read last
	tiles     map[string][]byte // of the same tree, verified
}

func (r *reader) told(trees []tlog.Tree, cosigned int) any {
	var checkpoints []read
	for _, tree := range trees {
		checkpoints = append(checkpoints, read{tree.N, tree.Hash})
	}
	return map[string]any{"checkpoints": checkpoints, "entries": r.entries, "cosigned": cosigned}
}

func (r *reader) get(path, contentType string) ([]byte, error) {
	answer, err := http.Get(r.url + "/" + path)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, answer.Status)
	}
	if found := answer.Header.Get("Content-Type"); found != contentType {
		return nil, fmt.Errorf("%s: content type %s", path, found)
	}
	return io.ReadAll(io.LimitReader(answer.Body, 1<<24))
}

// checkpoint returns the tree that the log signed last, and how many witnesses cosigned it.
func (r *reader) checkpoint() (tree tlog.Tree, cosigned int, err error) {
	data, err := r.get("checkpoint", "text/plain; charset=utf-8")
	if err != nil {
		return tree, 0, err
	}
	log, err := verifier(r.key)
	if err != nil {
		return tree, 0, err
	}
	found, err := opened(string(data), append([]string{r.key}, r.witnesses...))
	if err != nil {
		return tree, 0, err
	}
	signed := false
	for _, signature := range found.Sigs {
		signed = signed || signature.Name == log.Name() && signature.Hash == log.KeyHash()
	}
	lines := strings.Split(found.Text, "\n")
	if !signed || len(lines) != 4 || lines[0] != log.Name() {
		return tree, 0, errors.New("this checkpoint is not of this log")
	}
	if tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return tree, 0, err
	}
	tree.Hash, err = tlog.ParseHash(lines[2])
	return tree, len(found.Sigs) - 1, err
}

func (r *reader) Height() int { return height }
func (r *reader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range tiles {
		data, err := r.tiles[c2spPath(tile)], error(nil)
		if data == nil {
			data, err = r.get(c2spPath(tile), "application/octet-stream")
		}
		if err != nil {
			return nil, err
		}
		found = append(found, data)
	}
	return found, nil
}
func (r *reader) SaveTiles(tiles []tlog.Tile, data [][]byte) {
	for n, tile := range tiles {
		r.tiles[c2spPath(tile)] = data[n]
	}
}

// verify reads the whole tree and compares it with its root and with the trees before. What was read of those is read
// anew, so that nothing but the proof speaks for consistency.
func (r *reader) verify(tree tlog.Tree, before []tlog.Tree) error {
	r.tiles = map[string][]byte{}
	hashes := tlog.TileHashReader(tree, r)
	if err := r.readEntries(tree.N); err != nil {
		return err
	}
	root, err := rootOf(r.entries)
	if err != nil {
		return err
	}
	if root != tree.Hash {
		return errors.New("the entries give another root")
	}
	for index, entry := range r.entries {
		proof, err := tlog.ProveRecord(tree.N, int64(index), hashes)
		if err != nil {
			return err
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, int64(index), tlog.RecordHash(entry)); err != nil {
			return fmt.Errorf("entry %d: %w", index, err)
		}
	}
	for _, old := range before {
		proof, err := tlog.ProveTree(tree.N, old.N, hashes)
		if err == nil {
			err = tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash)
		}
		if err != nil {
			return fmt.Errorf("no continuation of size %d: %w", old.N, err)
		}
	}
	return nil
}

// readEntries takes the entries of a tree from its bundles, each after its length in two bytes.
func (r *reader) readEntries(size int64) error {
	r.entries = nil
	for first := int64(0); first < size; first += 1 << height {
		bundle := tlog.Tile{H: height, L: -1, N: first >> height, W: int(min(size-first, 1<<height))}
		path := strings.Replace(c2spPath(bundle), "tile/data/", "tile/entries/", 1)
		data, err := r.get(path, "application/octet-stream")
		if err != nil {
			return err
		}
		for range bundle.W {
			if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
				return fmt.Errorf("%s: cut short", path)
			}
			end := 2 + int(binary.BigEndian.Uint16(data))
			r.entries = append(r.entries, data[2:end])
			data = data[end:]
		}
		if len(data) != 0 {
			return fmt.Errorf("%s: bytes left over", path)
		}
	}
	return nil
}

// rootOf computes the root of a tree from nothing but its entries.
func rootOf(entries [][]byte) (tlog.Hash, error) {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			hashes[i] = stored[index]
		}
		return hashes, nil
	})
	for n, entry := range entries {
		hashes, err := tlog.StoredHashes(int64(n), entry, reader)
		if err != nil {
			return tlog.Hash{}, err
		}
		stored = append(stored, hashes...)
	}
	return tlog.TreeHash(int64(len(entries)), reader)
}
