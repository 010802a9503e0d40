An option at fault is its own source line.
--ARGS--
compile @IN@ --set layers.3.state=16 --set name.x=1 --set "dim=[1"
--IN yaml--
name: a
vocab: 16
dim: 8
layers: [{block: mamba2, state: 4, head_dim: 8}]
--ERR--
--set:1:8: error: '3' is no entry of the list: there are 1, counted from 0
--set:1:1: error: 'name' has no keys below it: it is 'a'
@IN@:1:7: note: it is given here
--set:1:5: error: this is not YAML
--EXIT--
2
