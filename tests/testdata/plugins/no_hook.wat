;; A component, but no plugin.
(component
  (core module $Nothing (func (export "run")))
  (core instance $nothing (instantiate $Nothing))
  (func $run (canon lift (core func $nothing "run")))
  (export "run" (func $run)))
