"""Values on their way there and back: packed (`packing`, `payload`), or why not (`diagnose`); what
the store has already (`known`); what a cell changed (`inplace`); and where all of it belongs at
home (`bind`).
"""
