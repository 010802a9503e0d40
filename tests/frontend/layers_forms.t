An entry is one thing: a block, parts, parallel blocks, layers or an order. What may not stand inside what.
--ARGS--
compile @IN@
--IN yaml--
vocab: 16
dim: 8
layers:
  - {block: mlp, inner: 8, parts: [{block: mlp, inner: 8}]}
  - {parts: [{block: mlp, inner: 8}], parallel: [{block: mlp, inner: 8}]}
  - {parts: [{layers: [{block: mlp, inner: 8}]}]}
  - {parallel: [{parts: [{block: mlp, inner: 8}]}]}
  - {parts: [{block: mlp, inner: 8, repeat: 3}]}
  - {parts: []}
  - 7
--ERR--
@IN@:4:28: error: a layer has a block or parts, not both
@IN@:5:39: error: a layer has parts or parallel, not both
@IN@:6:15: error: layers cannot stand inside parts
@IN@:7:18: error: parts cannot stand inside parallel
@IN@:8:37: error: repeat cannot stand inside parts
@IN@:9:13: error: there are no layers in this list
@IN@:10:5: error: a layer names its block
--EXIT--
2
