package feast

import (
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
)

// Status says what is known of a value; the zero value is [NotFound].
type Status = types.Status

// The statuses.
const (
	NotFound      = types.NotFound
	Present       = types.Present
	NullValue     = types.NullValue
	OutsideMaxAge = types.OutsideMaxAge
)

// The objects of the registry.

type (
	// Object is [registry.Object].
	Object = registry.Object
	// Project is [registry.Project].
	Project = registry.Project
	// Entity is [registry.Entity].
	Entity = registry.Entity
	// DataSource is [registry.DataSource].
	DataSource = registry.DataSource
	// Field is [registry.Field].
	Field = registry.Field
	// FeatureView is [registry.FeatureView].
	FeatureView = registry.FeatureView
	// StreamFeatureView is [registry.StreamFeatureView].
	StreamFeatureView = registry.StreamFeatureView
	// OnDemandFeatureView is [registry.OnDemandFeatureView].
	OnDemandFeatureView = registry.OnDemandFeatureView
	// LabelView is [registry.LabelView].
	LabelView = registry.LabelView
	// FeatureService is [registry.FeatureService].
	FeatureService = registry.FeatureService
	// FeatureViewProjection is [registry.FeatureViewProjection].
	FeatureViewProjection = registry.FeatureViewProjection
	// SavedDataset is [registry.SavedDataset].
	SavedDataset = registry.SavedDataset
	// ValidationReference is [registry.ValidationReference].
	ValidationReference = registry.ValidationReference
	// Permission is [permissions.Permission].
	Permission = permissions.Permission
	// Snapshot is [registry.Snapshot].
	Snapshot = registry.Snapshot
)

// Type is the type of a feature.
type Type = types.Type

// The most common types; package types has all.
const (
	Bytes         = types.Bytes
	String        = types.String
	Int32         = types.Int32
	Int64         = types.Int64
	Float32       = types.Float32
	Float64       = types.Float64
	Bool          = types.Bool
	UnixTimestamp = types.UnixTimestamp
	Float32List   = types.Float32List
	StringList    = types.StringList
	Int64List     = types.Int64List
)

// Errors, tested with errors.Is and errors.As; package feasterr has all.
var (
	ErrNotFound        = feasterr.ErrNotFound
	ErrInvalid         = feasterr.ErrInvalid
	ErrConflict        = feasterr.ErrConflict
	ErrDenied          = feasterr.ErrDenied
	ErrUnauthenticated = feasterr.ErrUnauthenticated
	ErrUnavailable     = feasterr.ErrUnavailable
	ErrUnsupported     = feasterr.ErrUnsupported
	ErrClosed          = feasterr.ErrClosed
	ErrPartial         = feasterr.ErrPartial
)

// The typed errors.

type (
	// NotFoundError is [feasterr.NotFoundError].
	NotFoundError = feasterr.NotFoundError
	// RequestError is [feasterr.RequestError].
	RequestError = feasterr.RequestError
	// TypeMismatchError is [feasterr.TypeMismatchError].
	TypeMismatchError = feasterr.TypeMismatchError
	// SchemaChangedError is [feasterr.SchemaChangedError].
	SchemaChangedError = feasterr.SchemaChangedError
	// StoreError is [feasterr.StoreError].
	StoreError = feasterr.StoreError
	// PartialError is [feasterr.PartialError].
	PartialError = feasterr.PartialError
	// NotLinkedError is [feasterr.NotLinkedError].
	NotLinkedError = feasterr.NotLinkedError
)

// Retryable reports whether the same call may succeed a moment later.
func Retryable(err error) bool { return feasterr.Retryable(err) }
