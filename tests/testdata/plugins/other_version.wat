;; Made for a version of the contract that this proxy does not speak.
(component
  (core module $Nothing (func (export "run")))
  (core instance $nothing (instantiate $Nothing))
  (func $run (canon lift (core func $nothing "run")))
  (instance $done (export "run" (func $run)))
  (export "weir:plugin/done@9.0.0" (instance $done)))
