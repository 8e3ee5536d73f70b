package feast_test

import (
	"encoding/hex"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast"
	corepb "github.com/feastgo/feast/internal/protos/feast/core"
	typespb "github.com/feastgo/feast/internal/protos/feast/types"
	"github.com/feastgo/feast/online/memory"
)

// FuzzPrecomputed stores bytes as a vector of Feast's service "crafted". Whatever they are, the answer is that of the rows,
// or all values are those that the protobuf library reads in the bytes.
func FuzzPrecomputed(f *testing.F) {
	var recorded struct {
		Cases []struct {
			Stored []struct {
				Hex string `json:"vector_hex"`
			}
		}
	}
	readJSON(f, "precomputed/redis/crafted.json", &recorded)
	var first []byte
	for _, c := range recorded.Cases {
		for _, v := range c.Stored {
			data, err := hex.DecodeString(v.Hex)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
			if first == nil {
				first = data
			}
		}
	}
	dir := f.TempDir()
	data, err := os.ReadFile(filepath.Join("testdata", "precomputed", "registry.db"))
	if err != nil {
		f.Fatal(err)
	}
	text := "project: precomp\nprovider: local\nregistry: registry.db\nentity_key_serialization_version: 3\n"
	for name, data := range map[string][]byte{"registry.db": data, "feature_store.yaml": []byte(text)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			f.Fatal(err)
		}
	}
	store := memory.New()
	fs := open(f, dir, feast.WithOnlineStore(store))
	// The time that the recorded vectors tell.
	at := time.Date(2024, 6, 1, 10, 0, 0, 123456000, time.UTC)
	rows := feast.Rows{{
		"driver_id": 1001, "conv_rate": 0.25, "trips": 4, "label": "row", "name": "row", "tags": []any{"row"}, "active": false,
		"event_timestamp": at,
	}}
	for _, view := range []string{"driver_stats", "driver_profile"} {
		if _, err := fs.WriteToOnlineStore(f.Context(), view, rows, feast.WriteOptions{}); err != nil {
			f.Fatal(err)
		}
	}
	req := feast.OnlineRequest{FeatureService: "crafted", FullFeatureNames: true, Entities: feast.Columns{"driver_id": []int64{1001}}}
	read := func(t testing.TB) map[string]string {
		resp, err := fs.GetOnlineFeatures(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		cells := map[string]string{}
		for i, c := range resp.Columns() {
			if i > 0 {
				cells[c.Name()] = cellOf(c, 0)
			}
		}
		return cells
	}
	putVector(f, store, "precomp", "crafted", 1001, nil)
	want := read(f)
	putVector(f, store, "precomp", "crafted", 1001, first)
	if maps.Equal(read(f), want) {
		f.Fatal("a vector that can be used is not")
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		putVector(t, store, "precomp", "crafted", 1001, data)
		resp, err := fs.GetOnlineFeatures(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		same := true
		for i, c := range resp.Columns() {
			same = same && (i == 0 || cellOf(c, 0) == want[c.Name()])
		}
		v := new(corepb.PrecomputedFeatureVector)
		if same || proto.Unmarshal(data, v) != nil { // the library also looks at what need not be right
			return
		}
		if len(v.GetFeatureNames()) != len(want) || len(v.GetValues()) < len(want) {
			t.Fatalf("%d names and %d values were used", len(v.GetFeatureNames()), len(v.GetValues()))
		}
		for i, name := range v.GetFeatureNames() {
			c, err := resp.Column(name)
			if err != nil {
				t.Fatal(err)
			}
			value := new(typespb.Value)
			if err := proto.Unmarshal(c.AppendValue(nil, 0), value); err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(value, v.GetValues()[i]) {
				t.Errorf("%s is %v, want %v", name, value, v.GetValues()[i])
			}
			if c.EventTime(0) != at {
				t.Errorf("%s is of %v", name, c.EventTime(0))
			}
		}
	})
}
