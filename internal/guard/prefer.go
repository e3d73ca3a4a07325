// SPDX-License-Identifier: Apache-2.0

package guard

import "github.com/oom-exporter/oom_exporter/internal/oom"

// Class says how a workload is treated where one of several must be hit.
type Class uint8

// The classes, in the order in which they are hit; ClassNever is not hit at all.
const (
	ClassPrefer Class = iota
	ClassNormal
	ClassAvoid
	ClassNever
)

// Preferences say which workloads are hit first, last and never. A workload belongs to
// a class if any expression of that class matches.
type Preferences struct{ Prefer, Avoid, Never Filter }

func (p *Preferences) classes() []Class { return []Class{ClassPrefer, ClassNormal, ClassAvoid} }

// of returns the class of a workload: the most careful one that fits. If names decide who
// is never hit, a workload whose names are not known is not hit either.
func (p *Preferences) of(id *oom.Identity) Class {
	switch {
	case p.Never.matches(id), id.StandIn && p.Never.named():
		return ClassNever
	case p.Avoid.matches(id):
		return ClassAvoid
	case p.Prefer.matches(id):
		return ClassPrefer
	}
	return ClassNormal
}

// matches tells whether any of a filter's Include expressions matches.
func (f *Filter) matches(id *oom.Identity) bool {
	w := &id.Workload
	return f.Namespace.matches(w.Namespace) || f.Pod.matches(w.Pod) || f.Container.matches(w.Container) ||
		f.Unit.matches(id.Unit) || f.QoS.matches(string(id.QoS))
}

func (m Match) matches(s string) bool { return m.Include != nil && s != "" && m.Include.MatchString(s) }

// named tells whether the filter has an expression for a namespace, pod or container.
func (f *Filter) named() bool { return f.Namespace.isSet() || f.Pod.isSet() || f.Container.isSet() }
