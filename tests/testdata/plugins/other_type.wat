;; Exports a hook whose function is of another type than the contract's.
(component
  (core module $Nothing (func (export "run")))
  (core instance $nothing (instantiate $Nothing))
  (func $run (canon lift (core func $nothing "run")))
  (instance $done (export "run" (func $run)))
  (export "weir:plugin/done@0.1.0" (instance $done)))
