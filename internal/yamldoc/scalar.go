package yamldoc

import (
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

// The plain scalars of YAML 1.1 that are not text, as PyYAML reads them: an exponent needs a point before it and a
// sign, 0777 is octal, 1:30 counts in sixties.
var (
	nulls    = map[string]bool{"": true, "~": true, "null": true, "Null": true, "NULL": true}
	booleans = map[string]bool{
		"yes": true, "Yes": true, "YES": true, "no": false, "No": false, "NO": false,
		"true": true, "True": true, "TRUE": true, "false": false, "False": false, "FALSE": false,
		"on": true, "On": true, "ON": true, "off": false, "Off": false, "OFF": false,
	}
	integers  = regexp.MustCompile(`^[-+]?(?:0b[0-1_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*(?::[0-5]?[0-9])*)$`)
	fractions = regexp.MustCompile(`^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?` +
		`|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$`)
	dates = regexp.MustCompile(`^\d{4}-\d\d-\d\d$|^\d{4}-\d\d?-\d\d?(?:[Tt]|[ \t]+)\d\d?:\d\d:\d\d(?:\.\d*)?` +
		`(?:[ \t]*(?:Z|[-+]\d\d?(?::?\d\d)?))?$`)
)

// resolve sets kind and value of an untagged plain scalar.
func (n *Node) resolve(s string) {
	b, isBool := booleans[s]
	switch {
	case nulls[s]:
		n.Kind = Null
	case isBool:
		n.Kind, n.Bool = Bool, b
	case integers.MatchString(s):
		n.integer(s)
	case fractions.MatchString(s):
		n.Kind = Float
		n.Float = fraction(strings.ReplaceAll(s, "_", ""))
	case dates.MatchString(s):
		n.Kind, n.Text = Time, s
	default:
		n.Kind, n.Text = Text, s
	}
}

// integer sets the value of an integer. One beyond int64 becomes a fractional number, which no integer field takes.
func (n *Node) integer(s string) {
	digits := strings.ReplaceAll(s, "_", "")
	v := new(big.Int)
	if strings.Contains(digits, ":") {
		var part big.Int
		for sixty := range strings.SplitSeq(strings.TrimLeft(digits, "+-"), ":") {
			part.SetString(sixty, 10)
			v.Add(v.Mul(v, big.NewInt(60)), &part)
		}
		if strings.HasPrefix(digits, "-") {
			v.Neg(v)
		}
	} else if _, ok := v.SetString(digits, 0); !ok { // 0x_ has no digits
		n.Kind, n.Text = Text, s
		return
	}
	if v.IsInt64() {
		n.Kind, n.Int = Int, v.Int64()
		return
	}
	n.Kind = Float
	n.Float, _ = new(big.Float).SetInt(v).Float64()
}

// fraction is the value of a fractional number.
func fraction(s string) float64 {
	sign, digits := 1.0, strings.ToLower(strings.TrimLeft(s, "+-"))
	if strings.HasPrefix(s, "-") {
		sign = -1
	}
	switch digits {
	case ".inf":
		return sign * math.Inf(1)
	case ".nan":
		return math.NaN()
	}
	var v float64
	for part := range strings.SplitSeq(digits, ":") {
		f, _ := strconv.ParseFloat(part, 64) // out of range: infinite
		v = v*60 + f
	}
	return sign * v
}

// IsText reports whether s, written plainly without quotes, is read as text.
func IsText(s string) bool {
	var n Node
	n.resolve(s)
	return n.Kind == Text && s != "<<" && s != "="
}
