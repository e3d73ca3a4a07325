// SPDX-License-Identifier: Apache-2.0

package oom

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// MarshalJSON writes a number, "unlimited", or null where unset.
func (a Amount) MarshalJSON() ([]byte, error) {
	switch {
	case !a.IsSet():
		return []byte("null"), nil
	case a.IsUnlimited():
		return []byte(`"unlimited"`), nil
	}
	return json.Marshal(a.Or(0))
}

// UnmarshalJSON reads what MarshalJSON writes.
func (a *Amount) UnmarshalJSON(b []byte) error {
	switch {
	case bytes.Equal(b, []byte("null")):
		*a = Amount{}
		return nil
	case bytes.Equal(b, []byte(`"unlimited"`)):
		*a = Unlimited()
		return nil
	}
	var n uint64
	if err := json.Unmarshal(b, &n); err != nil {
		return fmt.Errorf("parse amount: %w", err)
	}
	*a = Of(n)
	return nil
}
