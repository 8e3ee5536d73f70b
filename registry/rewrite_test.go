package registry

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/protos/feast/core"
)

func rewrite(t *testing.T, data []byte, project string, fn func(ctx context.Context, tx Tx) error) []byte {
	t.Helper()
	out, err := Rewrite(data, project, func(tx Tx) error { return fn(t.Context(), tx) })
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Of every registry that Feast wrote, a rewrite changes the record it is told to, version_id and last_updated.
func TestRewriteGolden(t *testing.T) {
	for _, path := range goldenFiles(t) {
		data := readFile(t, path)
		data = protowire.AppendTag(data, 1000, protowire.Fixed32Type) // of a newer Feast
		data = protowire.AppendFixed32(data, 7)
		before := parse(t, data)
		if before.Sealed {
			t.Errorf("%s: Feast does not write this order", path)
		}
		changed := slices.Clone(before.Records)
		r := &changed[len(changed)/2]
		r.Proto = appendField(bytes.Clone(r.Proto), 1000, []byte("new"))
		project := r.Project
		out := rewrite(t, data, project, func(ctx context.Context, tx Tx) error { return tx.Put(ctx, *r) })

		after := parse(t, out)
		if !slices.EqualFunc(after.Records, changed, func(a, b Record) bool { return a.ID == b.ID && bytes.Equal(a.Proto, b.Proto) }) {
			t.Errorf("%s: other records changed", path)
		}
		if !after.Sealed || after.VersionID == before.VersionID {
			t.Errorf("%s: %t, %s", path, after.Sealed, after.VersionID)
		}
		back := rewrite(t, out, project, func(ctx context.Context, tx Tx) error { return tx.Put(ctx, before.Records[len(changed)/2]) })
		var was, is core.Registry
		if err := errors.Join(proto.Unmarshal(data, &was), proto.Unmarshal(back, &is)); err != nil {
			t.Fatal(path, err)
		}
		is.VersionId, is.LastUpdated = was.VersionId, was.LastUpdated
		if len(is.ProtoReflect().GetUnknown()) == 0 || !proto.Equal(&was, &is) {
			t.Errorf("%s: changed to and fro, it is another registry", path)
		}
	}
}

func TestRewriteHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(1234567 * time.Nanosecond)
		e, err := Encode("demo", &Entity{Name: "driver"})
		if err != nil {
			t.Fatal(err)
		}
		put := func(ctx context.Context, tx Tx) error { return tx.Put(ctx, e) }
		out := rewrite(t, nil, "demo", put)
		var pb core.Registry
		if err := proto.Unmarshal(out, &pb); err != nil {
			t.Fatal(err)
		}
		if pb.RegistrySchemaVersion != "1" || len(pb.Entities) != 1 {
			t.Errorf("%v", &pb)
		}
		if want := time.Date(2000, 1, 1, 0, 0, 0, 1234000, time.UTC); !pb.LastUpdated.AsTime().Equal(want) {
			t.Errorf("last_updated %s", pb.LastUpdated.AsTime())
		}
		if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(pb.VersionId) {
			t.Errorf("version_id %s", pb.VersionId)
		}
		if rewrite(t, out, "demo", put) != nil {
			t.Error("an equal record is no change")
		}
		s := parse(t, out)
		if s.LastUpdated != pb.LastUpdated.AsTime() || !s.Sealed {
			t.Errorf("%s, %t", s.LastUpdated, s.Sealed)
		}
		for n := range out { // a registry that is cut off is not taken for a whole one
			if s, err := ParseState(out[:n]); err == nil && s.Sealed {
				t.Errorf("%d of %d bytes", n, len(out))
			}
		}
	})
}

// What cannot be read stays as it is, where it is.
func TestRewriteBad(t *testing.T) {
	one, err := Encode("demo", &Entity{Name: "one"})
	if err != nil {
		t.Fatal(err)
	}
	version := func(number byte) Record {
		p := append(appendField(appendField(nil, 1, []byte("v")), 2, []byte("demo")), 3<<3, number)
		return Record{ID: ID{Kind: KindViewVersion, Project: "demo", Name: "v", Version: int(number)}, Proto: p}
	}
	history := appendField(nil, versionsField, version(1).Proto)
	history = appendField(history, 9, []byte("of a newer Feast"))
	broken := append(bytes.Clone(history), 0xff)

	data := appendField(nil, 1, []byte{0xff})
	data = appendField(data, historyField, broken)
	data = appendField(data, 1, one.Proto)
	data = appendField(data, 1, append(bytes.Clone(one.Proto), 0xf8, 0x3f, 1)) // the same again
	data = appendField(data, 99, []byte("of a newer Feast"))

	two := Record{ID: one.ID, Proto: appendField(bytes.Clone(one.Proto), 1000, nil)}
	seal := func(out []byte) []byte { // without last_updated and version_id
		s := parseAny(t, out)
		return out[:len(out)-len(appendField(nil, lastUpdatedField, timestamp(s.LastUpdated)))-38]
	}
	got := seal(rewrite(t, data, "demo", func(ctx context.Context, tx Tx) error {
		if r, err := tx.Get(ctx, one.ID); err != nil || !bytes.Equal(r.Proto, one.Proto) {
			t.Errorf("of two with one name the first counts: %v, %v", r, err)
		}
		n := 0
		for _, err := range tx.List(ctx, KindEntity) {
			if n++; err != nil {
				return err
			}
		}
		if n != 1 {
			t.Errorf("%d entities", n)
		}
		return errors.Join(tx.Put(ctx, two), tx.Put(ctx, version(2)))
	}))
	want := appendField(nil, 1, []byte{0xff})
	want = appendField(want, historyField, broken)
	want = appendField(want, 1, two.Proto)
	want = appendField(want, 99, []byte("of a newer Feast"))
	want = appendField(want, historyField, appendField(nil, versionsField, version(2).Proto))
	if !bytes.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}

	got = seal(rewrite(t, appendField(nil, historyField, history), "demo", func(ctx context.Context, tx Tx) error {
		return errors.Join(tx.Put(ctx, version(2)), tx.Delete(ctx, version(1).ID))
	}))
	want = appendField(nil, historyField, appendField(appendField(nil, 9, []byte("of a newer Feast")), versionsField, version(2).Proto))
	if !bytes.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	got = seal(rewrite(t, appendField(data, historyField, appendField(nil, versionsField, version(3).Proto)), "demo", func(ctx context.Context, tx Tx) error {
		return errors.Join(tx.Delete(ctx, version(3).ID), tx.Delete(ctx, version(1).ID), tx.Delete(ctx, one.ID))
	}))
	want = appendField(nil, 1, []byte{0xff})
	want = appendField(want, historyField, append(appendField(nil, 9, []byte("of a newer Feast")), 0xff))
	want = appendField(want, 99, []byte("of a newer Feast"))
	if !bytes.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// parseAny parses data that may have bad records.
func parseAny(t *testing.T, data []byte) *State {
	t.Helper()
	s, err := ParseState(data)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// One list of infrastructure serves all projects.
func TestRewriteInfra(t *testing.T) {
	shared := ID{Kind: KindInfra, Name: InfraName}
	out := rewrite(t, nil, "one", func(ctx context.Context, tx Tx) error {
		return tx.Put(ctx, Record{ID: ID{KindInfra, "one", InfraName, 0}, Proto: []byte("\x0a\x00")})
	})
	out = rewrite(t, out, "two", func(ctx context.Context, tx Tx) error {
		for _, id := range []ID{shared, {KindInfra, "two", InfraName, 0}} {
			if r, err := tx.Get(ctx, id); err != nil || r.ID != shared || string(r.Proto) != "\x0a\x00" {
				t.Errorf("%v, %v", r, err)
			}
		}
		if _, err := tx.Get(ctx, ID{KindInfra, "one", InfraName, 0}); !errors.Is(err, feasterr.ErrInvalid) {
			t.Error(err)
		}
		return tx.Put(ctx, Record{ID: shared, Proto: []byte("\x0a\x00\x0a\x00")})
	})
	if s := parse(t, out); len(s.Records) != 1 || s.Records[0].ID != shared || string(s.Records[0].Proto) != "\x0a\x00\x0a\x00" {
		t.Errorf("%v", s.Records)
	}
}

func TestRewriteInvalid(t *testing.T) {
	e, err := Encode("demo", &Entity{Name: "driver"})
	if err != nil {
		t.Fatal(err)
	}
	for text, r := range map[string]Record{
		`entity "rider" of project "demo" cannot be written: its message is that of entity "driver" of project "demo"`: {
			ID: ID{Kind: KindEntity, Project: "demo", Name: "rider"}, Proto: e.Proto,
		},
		`Kind(200) "driver" of project "demo" cannot be written: it is not a kind of record`: {
			ID: ID{Kind: 200, Project: "demo", Name: "driver"}, Proto: e.Proto,
		},
		`entity "driver" of project "demo" cannot be written: unexpected EOF`: {ID: e.ID, Proto: []byte{0xff}},
		`entity "driver" of project "other" is outside the transaction, which is on project "demo"`: {
			ID: ID{Kind: KindEntity, Project: "other", Name: "driver"}, Proto: e.Proto,
		},
	} {
		_, err := Rewrite(nil, "demo", func(tx Tx) error { return tx.Put(t.Context(), r) })
		if !errors.Is(err, feasterr.ErrInvalid) || err.Error() != text {
			t.Errorf("%v\nwant %s", err, text)
		}
	}
	if _, err := Rewrite([]byte("garbage"), "demo", func(Tx) error { return errors.New("fn must not run") }); !errors.Is(err, feasterr.ErrInvalid) {
		t.Error(err)
	}
}

// Whatever is a registry stays one, with all its records.
func FuzzRewrite(f *testing.F) {
	for _, path := range goldenFiles(f) {
		if data := readFile(f, path); len(data) < 4096 { // the large ones slow the search down
			f.Add(data)
		}
	}
	f.Add([]byte{})
	f.Add(appendField(appendField(nil, historyField, []byte("\x0a\x06\x0a\x01v\x18\x01")), 1, []byte("\x0a\x0e\x0a\x06driver\x4a\x04demo")))
	f.Add(appendField(appendField(nil, historyField, []byte{0xff}), 1, []byte{0xff}))
	f.Fuzz(func(t *testing.T, data []byte) {
		before, err := ParseState(data)
		e := Record{ID: ID{Kind: KindEntity, Project: "demo", Name: "driver"}, Proto: []byte("\x0a\x0e\x0a\x06driver\x4a\x04demo")}
		out, rewriteErr := Rewrite(data, "demo", func(tx Tx) error {
			if err := tx.Delete(t.Context(), e.ID); err != nil && !errors.Is(err, feasterr.ErrNotFound) {
				return err
			}
			return tx.Put(t.Context(), e)
		})
		if (err == nil) != (rewriteErr == nil) {
			t.Fatal(err, rewriteErr)
		}
		if err != nil {
			return
		}
		after := parseAny(t, out)
		if !after.Sealed {
			t.Error("not sealed")
		}
		rest := slices.DeleteFunc(slices.Clone(before.Records), func(r Record) bool { return r.ID == e.ID })
		if !slices.EqualFunc(after.Records, append(rest, e), func(a, b Record) bool { return a.ID == b.ID && bytes.Equal(a.Proto, b.Proto) }) {
			t.Errorf("%v\nbecame %v", before.Records, after.Records)
		}
		if !slices.EqualFunc(before.Bad, after.Bad, func(a, b BadRecord) bool { return a.ID == b.ID && bytes.Equal(a.Proto, b.Proto) }) {
			t.Errorf("%v\nbecame %v", before.Bad, after.Bad)
		}
	})
}
