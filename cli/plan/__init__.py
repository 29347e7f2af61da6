"""`bai-vllm plan`: the verdict on a model and a card, without a stack or a cluster.

command   the verb: its options, and which of the answers below is wanted
asked     what was typed, as requests that `serving` judges
judging   what the Hub says, asked once for each repo, and the verdicts on it
smallest  the answer when no card is named: the least that starts it
matrix    quantizations × cards: which there are, and their verdicts
bar       one GPU's memory as a stacked bar
report    a verdict as a terminal shows it
grid      a matrix as a terminal shows it
written   JSON and markdown
"""
