package registry

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"iter"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/feastgo/feast/feasterr"
)

// schemaVersion is the registry_schema_version of a new registry.
const schemaVersion = "1"

// Rewrite runs fn on the records of project in data, a serialized feast.core.Registry, and returns the registry that
// results, or nil when fn changed nothing. It is the transaction of backends that keep a registry as one file or
// object. No data is an empty registry. data is not modified, but the records that fn gets refer to it.
//
// What fn leaves alone stays byte for byte: other records, of all projects, records that cannot be read, and fields
// that this library does not know. A changed record keeps its place, a new one goes to the end. Of several records with
// one identity the first counts, as in Feast; writing or deleting it removes the others. The record of [KindInfra]
// serves all projects.
//
// version_id becomes a random UUID and last_updated the current time. They end the registry, last_updated first: no
// protobuf library writes that order, so readers can tell that nothing is cut off ([State.Sealed]).
//
// The error is one of [ParseState], or that of fn as it is.
func Rewrite(data []byte, project string, fn func(Tx) error) ([]byte, error) {
	t := &rewriting{project: project, byID: map[ID]*part{}}
	if len(data) == 0 {
		t.parts = append(t.parts, &part{field: appendField(nil, schemaField, []byte(schemaVersion))})
	}
	if err := eachRegistryField(data, t.add); err != nil {
		return nil, err
	}
	if err := fn(t); err != nil || !t.changed {
		return nil, err
	}
	out := make([]byte, 0, len(data)+len(data)/8)
	for _, p := range t.parts {
		out = p.append(out)
	}
	out = appendField(out, lastUpdatedField, timestamp(time.Now()))
	return appendField(out, versionIDField, []byte(newUUID())), nil
}

// rewriting is a serialized registry in parts. It implements Tx.
type rewriting struct {
	project string
	parts   []*part
	history *part // the version history that new versions join; nil when there is none
	byID    map[ID]*part
	changed bool
}

// part is a field of the registry, or of its version history.
type part struct {
	field []byte // whole, with its tag; empty when it was deleted
	id    ID     // of a record; zero for everything else
	proto []byte // of a record
	next  *part  // the next record with this identity

	parts   []*part // of a version history
	changed bool    // field no longer holds: parts do
	in      *part   // the version history this is part of; nil for a field of the registry
}

func (p *part) append(out []byte) []byte {
	if !p.changed {
		return append(out, p.field...)
	}
	var history []byte
	for _, v := range p.parts {
		history = append(history, v.field...)
	}
	if len(history) == 0 {
		return out
	}
	return appendField(out, historyField, history)
}

func (t *rewriting) add(num protowire.Number, kind Kind, field, value []byte) {
	p := &part{field: field}
	switch {
	case num == versionIDField || num == lastUpdatedField:
		return // written anew
	case kind != 0:
		t.index(p, kind, value)
	case num == historyField:
		t.addHistory(p, value)
	}
	t.parts = append(t.parts, p)
}

func (t *rewriting) addHistory(p *part, value []byte) {
	for len(value) > 0 {
		num, typ, n := protowire.ConsumeField(value)
		if n < 0 { // the rest cannot be read: it stays, and nothing can follow it
			p.parts = append(p.parts, &part{field: value, in: p})
			return
		}
		v := &part{field: value[:n], in: p}
		if num == versionsField && typ == protowire.BytesType {
			t.index(v, KindViewVersion, fieldValue(v.field))
		}
		p.parts = append(p.parts, v)
		value = value[n:]
	}
	t.history = p
}

// index makes p the record in value, unless its identity cannot be told.
func (t *rewriting) index(p *part, kind Kind, value []byte) {
	id, err := identity(kind, value)
	if err != nil {
		return
	}
	p.id, p.proto = id, slices.Clip(value)
	if first := t.byID[id]; first != nil {
		p.next, first.next = first.next, p
	} else {
		t.byID[id] = p
	}
}

// check returns the identity under which the registry has the record that id names.
func (t *rewriting) check(ctx context.Context, id ID) (ID, error) {
	if err := ctx.Err(); err != nil {
		return id, fmt.Errorf("%s: %w", id, err)
	}
	if id.Kind == KindInfra && id.Project == t.project {
		id.Project = ""
	}
	if id.Project != t.project && id != (ID{Kind: KindInfra, Name: InfraName}) {
		return id, feasterr.Invalid("%s is outside the transaction, which is on project %q", id, t.project)
	}
	return id, nil
}

func (t *rewriting) Get(ctx context.Context, id ID) (Record, error) {
	id, err := t.check(ctx, id)
	if err != nil {
		return Record{}, err
	}
	p := t.byID[id]
	if p == nil {
		return Record{}, notFound(id)
	}
	return Record{ID: id, Proto: p.proto}, nil
}

func (t *rewriting) List(ctx context.Context, kind Kind) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for p := range t.all() {
			if p.id.Kind != kind || p.id.Project != t.project && kind != KindInfra || t.byID[p.id] != p {
				continue
			}
			if err := ctx.Err(); err != nil {
				yield(Record{}, fmt.Errorf("listing: %w", err))
				return
			}
			if !yield(Record{ID: p.id, Proto: p.proto}, nil) {
				return
			}
		}
	}
}

// all yields the parts that are or may be records.
func (t *rewriting) all() iter.Seq[*part] {
	return func(yield func(*part) bool) {
		for _, p := range t.parts {
			for _, v := range p.parts {
				if !yield(v) {
					return
				}
			}
			if !yield(p) {
				return
			}
		}
	}
}

func (t *rewriting) Put(ctx context.Context, r Record) error {
	id, err := t.check(ctx, r.ID)
	if err != nil {
		return err
	}
	if id.Kind == 0 || id.Kind >= numKinds {
		return feasterr.Invalid("%s cannot be written: it is not a kind of record", id)
	}
	switch stored, err := identity(id.Kind, r.Proto); {
	case err != nil:
		return feasterr.Invalid("%s cannot be written: %w", id, err)
	case stored != id:
		return feasterr.Invalid("%s cannot be written: its message is that of %s", id, stored)
	}
	p := t.byID[id]
	switch {
	case p == nil:
		p = t.insert(id)
	case p.next == nil && bytes.Equal(p.proto, r.Proto):
		return nil
	}
	t.remove(p.next)
	p.next = nil
	field := layouts[id.Kind].field
	if id.Kind == KindViewVersion {
		field = versionsField
	}
	p.field, p.proto = appendField(nil, field, r.Proto), r.Proto
	t.touch(p)
	return nil
}

func (t *rewriting) Delete(ctx context.Context, id ID) error {
	id, err := t.check(ctx, id)
	if err != nil {
		return err
	}
	p := t.byID[id]
	if p == nil {
		return notFound(id)
	}
	delete(t.byID, id)
	t.remove(p)
	return nil
}

// insert makes a place for a new record.
func (t *rewriting) insert(id ID) *part {
	p := &part{id: id}
	t.byID[id] = p
	if id.Kind != KindViewVersion {
		t.parts = append(t.parts, p)
		return p
	}
	if t.history == nil {
		t.history = new(part)
		t.parts = append(t.parts, t.history)
	}
	p.in = t.history
	p.in.parts = append(p.in.parts, p)
	return p
}

// remove empties p and all that have its identity.
func (t *rewriting) remove(p *part) {
	for ; p != nil; p = p.next {
		p.field, p.id, p.proto = nil, ID{}, nil
		t.touch(p)
	}
}

func (t *rewriting) touch(p *part) {
	t.changed = true
	if p.in != nil {
		p.in.changed = true
	}
}

func notFound(id ID) error {
	return &feasterr.NotFoundError{Kind: id.Kind.String(), Name: id.Name, Project: id.Project}
}

// appendField appends a length-delimited field.
func appendField(b []byte, num protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), value)
}

// timestamp returns t as a google.protobuf.Timestamp of whole microseconds, which is what Feast keeps.
func timestamp(t time.Time) []byte {
	b := protowire.AppendTag(nil, 1, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(t.Unix()))
	b = protowire.AppendTag(b, 2, protowire.VarintType)
	return protowire.AppendVarint(b, uint64(t.Nanosecond()/1000*1000))
}

// newUUID returns a random UUID, version 4.
func newUUID() string {
	var u [16]byte
	_, _ = rand.Read(u[:]) // never fails
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
