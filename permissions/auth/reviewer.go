package auth

import (
	"context"

	"github.com/feastgo/feast/feasterr"
)

// Reviewer asks the API of a Kubernetes cluster whose a token is. It is safe for concurrent use.
type Reviewer interface {
	// Review returns the name and the groups that the cluster knows the owner of a token by. A token that the cluster
	// does not accept is a feasterr.ErrUnauthenticated, as of an [Authenticator].
	Review(ctx context.Context, token string) (name string, groups []string, err error)
	Close() error
}

var reviewer func(env Env) (Reviewer, error)

// RegisterReviewer has open make reviewers. permissions/kubernetes calls it from its init function.
func RegisterReviewer(open func(env Env) (Reviewer, error)) {
	if reviewer != nil {
		panic("auth: a reviewer is there already") //nolint:forbidigo // a fault of the program
	}
	reviewer = open
}

// NewReviewer makes a reviewer for types that accept tokens of service accounts beside their own.
func NewReviewer(env Env) (Reviewer, error) {
	if reviewer == nil {
		return nil, &feasterr.NotLinkedError{
			Room: "review of Kubernetes tokens", Type: "kubernetes", Import: "github.com/feastgo/feast/permissions/kubernetes",
		}
	}
	return reviewer(env)
}
