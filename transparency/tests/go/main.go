// Checks a log's files with Go's own implementation of signed notes and Merkle trees (golang.org/x/mod/sumdb).
//
// Usage: main FOLDER. The folder has log.vkey, witness.vkey, go.skey, checkpoint, request (the body of add-checkpoint),
// tile/…, and receipts/INDEX with the entry beside it in entries/INDEX. Prints a note signed with go.skey.
package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(holds bool, what string) {
	if !holds {
		must(fmt.Errorf("%s", what))
	}
}

func read(parts ...string) []byte {
	data, err := os.ReadFile(filepath.Join(parts...))
	must(err)
	return data
}

// cosigner verifies Ed25519 cosignatures, which the package does not know: c2sp.org/tlog-cosignature.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func newCosigner(vkey string) *cosigner {
	parts := strings.SplitN(vkey, "+", 3)
	check(len(parts) == 3, "vkey of the witness")
	id, err := hex.DecodeString(parts[1])
	must(err)
	key, err := base64.StdEncoding.DecodeString(parts[2])
	must(err)
	check(len(id) == 4 && len(key) == 33 && key[0] == 4, "type of the witness's key")
	return &cosigner{parts[0], binary.BigEndian.Uint32(id), key[1:]}
}

func (c *cosigner) Name() string    { return c.name }
func (c *cosigner) KeyHash() uint32 { return c.hash }
func (c *cosigner) Verify(text, sig []byte) bool {
	if len(sig) != 72 {
		return false
	}
	message := fmt.Sprintf("cosignature/v1\ntime %d\n%s", binary.BigEndian.Uint64(sig), text)
	return ed25519.Verify(c.key, []byte(message), sig[8:])
}

func parseTree(text string) tlog.Tree {
	lines := strings.Split(text, "\n")
	check(len(lines) == 4 && lines[3] == "", "lines of the checkpoint")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err)
	root, err := tlog.ParseHash(lines[2])
	must(err)
	return tlog.Tree{N: size, Hash: root}
}

// files reads tiles from a folder. The package has the tiles' height in their paths, the specification has not.
type files string

func (files) Height() int                     { return 8 }
func (files) SaveTiles([]tlog.Tile, [][]byte) {}
func (f files) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var read [][]byte
	for _, tile := range tiles {
		data, err := os.ReadFile(filepath.Join(string(f), strings.Replace(tile.Path(), "tile/8/", "tile/", 1)))
		if err != nil {
			return nil, err
		}
		read = append(read, data)
	}
	return read, nil
}

func parseHashes(lines string) []tlog.Hash {
	var hashes []tlog.Hash
	for _, line := range strings.Fields(lines) {
		hash, err := tlog.ParseHash(line)
		must(err)
		hashes = append(hashes, hash)
	}
	return hashes
}

func equal(a, b []tlog.Hash) bool {
	return fmt.Sprint(a) == fmt.Sprint(b)
}

func main() {
	folder := os.Args[1]
	log, err := note.NewVerifier(string(read(folder, "log.vkey")))
	must(err)
	witness := newCosigner(string(read(folder, "witness.vkey")))
	known := note.VerifierList(log, witness)

	// The checkpoint: both signatures, and that of ML-DSA-44, which is not known here, is ignored.
	checkpoint := read(folder, "checkpoint")
	opened, err := note.Open(checkpoint, known)
	must(err)
	check(len(opened.Sigs) == 2 && len(opened.UnverifiedSigs) == 1, "signatures of the checkpoint")
	tree := parseTree(opened.Text)

	// The tiles lead to its root.
	reader := tlog.TileHashReader(tree, files(folder))
	root, err := tlog.TreeHash(tree.N, reader)
	must(err)
	check(root == tree.Hash, "root of the tiles")

	// The receipts.
	receipts, err := os.ReadDir(filepath.Join(folder, "receipts"))
	must(err)
	check(len(receipts) > 0, "receipts")
	for _, file := range receipts {
		index, err := strconv.ParseInt(file.Name(), 10, 64)
		must(err)
		head, rest, _ := bytes.Cut(read(folder, "receipts", file.Name()), []byte("\n\n"))
		check(bytes.Equal(rest, checkpoint), "checkpoint of the receipt")
		start := fmt.Sprintf("c2sp.org/tlog-proof@v1\nindex %d", index)
		check(strings.HasPrefix(string(head), start), "head of the receipt")
		proof := tlog.RecordProof(parseHashes(strings.TrimPrefix(string(head), start)))
		leaf := tlog.RecordHash(read(folder, "entries", file.Name()))
		must(tlog.CheckRecord(proof, tree.N, tree.Hash, index, leaf))
		own, err := tlog.ProveRecord(tree.N, index, reader)
		must(err)
		check(equal(own, proof), "proof of the receipt")
	}

	// The request to a witness.
	head, rest, _ := bytes.Cut(read(folder, "request"), []byte("\n\n"))
	check(bytes.Equal(rest, checkpoint), "checkpoint of the request")
	first, hashes, _ := strings.Cut(string(head), "\n")
	older, err := strconv.ParseInt(strings.TrimPrefix(first, "old "), 10, 64)
	must(err)
	olderRoot, err := tlog.TreeHash(older, reader)
	must(err)
	proof := tlog.TreeProof(parseHashes(hashes))
	must(tlog.CheckTree(proof, tree.N, tree.Hash, older, olderRoot))
	own, err := tlog.ProveTree(tree.N, older, reader)
	must(err)
	check(equal(own, proof), "proof of the request")

	// A note for the other side to verify.
	signer, err := note.NewSigner(string(read(folder, "go.skey")))
	must(err)
	signed, err := note.Sign(&note.Note{Text: opened.Text}, signer)
	must(err)
	os.Stdout.Write(signed)
}
