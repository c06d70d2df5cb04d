"""Who a node is and whom it knows: keys, identity cards, partners, invitations."""
