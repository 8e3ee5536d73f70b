package kubernetes

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/permissions/auth"
)

// Reviewer is an [auth.Reviewer]: it asks the cluster whose a token is, by TokenReview, and knows it for half a minute. It is
// safe for concurrent use.
type Reviewer struct {
	client  client
	answers *cache[[sha256.Size]byte, identity]
	closing func() error // nil: the clientset is not its own
}

// identity is who the cluster says a token belongs to.
type identity struct {
	name   string
	groups []string
}

// NewReviewer makes a reviewer that asks through a clientset, which needs the right to create tokenreviews
// (authentication.k8s.io), as the cluster role system:auth-delegator has it. Close leaves the
// clientset as it is.
func NewReviewer[A, R Group](c Clientset[A, R]) (*Reviewer, error) {
	asked, err := clientOf(c)
	if err != nil {
		return nil, err
	}
	return newReviewer(asked), nil
}

func newReviewer(c client) *Reviewer {
	return &Reviewer{client: c, answers: newCache[[sha256.Size]byte, identity](maxTokens)}
}

// Review implements [auth.Reviewer]. The groups must not be modified.
func (r *Reviewer) Review(ctx context.Context, token string) (name string, groups []string, err error) {
	if err := fits(token); err != nil {
		return "", nil, err
	}
	got := r.answers.get(ctx, sha256.Sum256([]byte(token)), func(ctx context.Context) answer[identity] {
		asked := r.answers.now()
		c, _ := readClaims(token)
		who, err := review(ctx, r.client, token)
		return answer[identity]{who, err, reviewedUntil(asked, c, err)}
	})
	return got.value.name, got.value.groups, got.err
}

// Close ends the questions that are under way.
func (r *Reviewer) Close() error {
	r.answers.close()
	if r.closing != nil {
		return r.closing()
	}
	return nil
}

// fits refuses what no cluster gives out, before it is hashed, remembered or sent.
func fits(token string) error {
	switch {
	case token == "":
		return fmt.Errorf("%w: the token is empty", feasterr.ErrUnauthenticated)
	case len(token) > auth.MaxToken:
		return fmt.Errorf("%w: a token of %d bytes is longer than any of a cluster", feasterr.ErrUnauthenticated, len(token))
	}
	return nil
}

// reviewedUntil says how long the answer about a token holds that the API was asked about at a time: not at all if it did not
// answer.
func reviewedUntil(asked time.Time, c claims, err error) time.Time {
	switch {
	case err == nil && !c.expires.IsZero() && c.expires.Before(asked.Add(kept)):
		return c.expires
	case err == nil:
		return asked.Add(kept)
	case feasterr.Retryable(err):
		return time.Time{}
	default:
		return asked.Add(refusedFor)
	}
}

// review asks the API whose a token is. A token without an owner is a feasterr.ErrUnauthenticated; anything else that goes
// wrong is a feasterr.ErrUnavailable, since it says nothing about the token.
func review(ctx context.Context, c client, token string) (identity, error) {
	question := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}
	var review authenticationv1.TokenReview
	if err := c.authentication.Post().Resource("tokenreviews").Body(question).Do(ctx).Into(&review); err != nil {
		return identity{}, unanswered("review the token", "create tokenreviews (authentication.k8s.io)", token, err)
	}
	switch status := &review.Status; {
	case !status.Authenticated && status.Error != "":
		return identity{}, fmt.Errorf("%w: the cluster does not accept the token: %s", feasterr.ErrUnauthenticated, quote(status.Error, token))
	case !status.Authenticated:
		return identity{}, fmt.Errorf("%w: the cluster does not accept the token", feasterr.ErrUnauthenticated)
	case status.User.Username == "":
		return identity{}, fmt.Errorf("%w: the cluster accepts the token and names no user", feasterr.ErrUnauthenticated)
	default:
		return identity{status.User.Username, status.User.Groups}, nil
	}
}

// unanswered is the error of a question to the API: what it was for, and the right that it takes.
func unanswered(what, right, token string, err error) error {
	switch {
	case apierrors.IsForbidden(err):
		return &forbiddenError{feasterr.Unavailable("the API of the cluster does not let this server %s, its service account needs the right to %s: %s",
			what, right, quote(err.Error(), token))}
	case apierrors.IsUnauthorized(err):
		return feasterr.Unavailable("the API of the cluster does not know this server, whose own token it refuses, and did not %s: %s",
			what, quote(err.Error(), token))
	default:
		return feasterr.Unavailable("the API of the cluster did not %s: %s", what, quote(err.Error(), token))
	}
}

// forbiddenError says that the API answered, and that the server may not know.
type forbiddenError struct{ error }

func (e *forbiddenError) Unwrap() error { return e.error }

// quote is a text of the API for the log: not longer than a log wants it, and without the token.
func quote(text, token string) string {
	if token != "" {
		text = strings.ReplaceAll(text, token, "***")
	}
	if len(text) > 500 {
		text = strings.ToValidUTF8(text[:500], "") + "..."
	}
	return text
}
