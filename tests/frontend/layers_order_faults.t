Faults of an order: a kind that is not there, at its place in the text; no kinds; a kind that is no layer.
--ARGS--
compile @IN@
--IN yaml--
vocab: 16
dim: 8
layers:
  - order: MxM
    kinds: {M: {block: mlp, inner: 8}, "-": {block: mlp, inner: 4}}
  - {order: M}
  - {order: [M, [M]], kinds: {M: {block: mlp, inner: 8}}}
  - {order: "", kinds: {M: {block: mlp, inner: 8}}}
  - {order: M, kinds: {M: {repeat: 2, layers: [{block: mlp, inner: 8}]}}}
  - {order: M, kinds: {M: {block: mlp, inner: 8, repeat: 2}}}
--ERR--
@IN@:4:13: error: unknown kind of layer 'x'; the nearest is M; there are M, -
@IN@:6:5: error: an order is a text or a list that names kinds of layers
@IN@:7:17: error: this is [M]; expected the name of a kind
@IN@:8:14: error: an order is a text or a list that names kinds of layers
@IN@:9:39: error: layers cannot stand inside a kind of layer
@IN@:10:50: error: repeat cannot stand inside a kind of layer
--EXIT--
2
