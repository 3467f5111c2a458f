package blob

import "fmt"

// Contract says which family of storefronts the responses are shaped for.
// It is a property of the whole catalogue.
type Contract uint8

// The contracts, by the numbers that the shelf stores. Pulsar is the default.
const (
	Pulsar Contract = iota
	Atelier
)

// BuilderVersion names the shape of what Build makes. It is raised with every
// change that alters the bytes of an unchanged product, and recorded beside
// the blobs, so that a server can tell that they were made by another builder.
const BuilderVersion = 1

func (c Contract) String() string {
	if c == Atelier {
		return "atelier"
	}
	return "pulsar"
}

// ParseContract reads the name of a contract: pulsar or atelier.
func ParseContract(name string) (Contract, error) {
	switch name {
	case "pulsar":
		return Pulsar, nil
	case "atelier":
		return Atelier, nil
	}
	return 0, fmt.Errorf("unknown contract %q: expected pulsar or atelier", name)
}
