"""Drives Tryton's stock module: its own code, in its own transactions.

    driver.py make               a database with the stock modules; on one that has them, an upgrade of theirs
    driver.py setup              a company, places, products in several units, lots
    driver.py work SEED MOVES    makes that many moves, and what goes with them; prints what it did
    driver.py close DAYS         closes the period that ended so many days ago
    driver.py forget-lot         deletes a lot that moves were made with
    driver.py see                prints how many moves and products there are to be seen
    driver.py answer [DAYS]      prints what Tryton tells of each place, today or so many days ago

The server is named by PGHOST, PGPORT and PGUSER, the database by PGDATABASE.
"""

import datetime
import json
import os
import random
import sys
import time
from collections import Counter
from decimal import Decimal

from trytond.config import config

config.set('database', 'uri', 'postgresql://')

from trytond import backend  # noqa: E402
from trytond.model.exceptions import AccessError  # noqa: E402
from trytond.pool import Pool  # noqa: E402
from trytond.transaction import Transaction, TransactionError  # noqa: E402

DATABASE = os.environ['PGDATABASE']
ADMIN = 1
# Tryton's dispatcher gives up after five; a test's workers meet more often than people do.
RETRIES = 500
TODAY = datetime.date.today()


def in_transaction(work, company=None, counts=None):
    """Does it in one transaction, again where another one was faster, as Tryton's own dispatcher does."""
    extras = {}
    for attempt in range(RETRIES):
        # The dispatcher waits as long.
        time.sleep(0.02 * min(attempt, 5))
        context = {'company': company} if company else {}
        with Transaction().start(DATABASE, ADMIN, context=context, **extras) as transaction:
            try:
                result = work()
                transaction.commit()
                return result
            except TransactionError as error:
                # It wants tables locked from its beginning.
                transaction.rollback()
                error.fix(extras)
            except backend.DatabaseOperationalError:
                transaction.rollback()
                if counts is not None:
                    counts['retried'] += 1
                    counts['beyond_the_dispatcher'] += attempt == 5
    raise SystemExit(f'{work.__name__} was refused {RETRIES} times')


def make():
    database = backend.Database(DATABASE).connect()
    if not database.test():
        database.init()
    Pool(DATABASE).init(update=['ir', 'stock_lot'], lang=['en'], activatedeps=True)


def setup():
    get = Pool().get
    Location, Uom, Template, Lot, User = (
        get(name) for name in ('stock.location', 'product.uom', 'product.template', 'stock.lot', 'res.user')
    )
    party, = get('party.party').create([{'name': 'Mill'}])
    currency, = get('currency.currency').create([{
        'name': 'Euro', 'symbol': '€', 'code': 'EUR', 'numeric_code': '978', 'rounding': Decimal('0.01'), 'digits': 2,
    }])
    company, = get('company.company').create([{'party': party.id, 'currency': currency.id}])
    User.write([User(ADMIN)], {'companies': [('add', [company.id])], 'company': company.id})
    storage, = Location.search([('code', '=', 'STO')])
    Location.create([
        {'name': name, 'code': name, 'type': 'storage', 'parent': storage.id} for name in ('Silo', 'Shelf', 'Yard')
    ])
    with Transaction().set_context(company=company.id):
        for name, unit in UNIT_OF.items():
            uom, = Uom.search([('name', '=', unit)])
            template, = Template.create([{
                'name': name, 'type': 'goods', 'default_uom': uom.id, 'list_price': Decimal(3),
                'cost_price_method': 'fixed', 'products': [('create', [{'suffix_code': name}])],
            }])
            product, = template.products
            if name in WITH_LOTS:
                Lot.create([{'number': f'{name} {n}', 'product': product.id} for n in range(3)])


UNIT_OF = {'Bolt': 'Unit', 'Flour': 'Kilogram', 'Cable': 'Meter', 'Milk': 'Liter', 'Seed': 'Gram'}
WITH_LOTS = ('Milk', 'Seed')
# In which units each is moved, and with how many digits.
MOVED_IN = {
    'Bolt': [('Unit', 0)],
    'Flour': [('Kilogram', 2), ('Gram', 2), ('Pound', 2)],
    'Cable': [('Meter', 2), ('Centimeter', 2), ('Foot', 2)],
    'Milk': [('Liter', 2), ('Gallon', 2)],
    'Seed': [('Gram', 2), ('Kilogram', 2), ('Carat', 2)],
}


class Worker:
    """Moves stock as people do: drafts, corrects, deletes, cancels, ships, counts."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.counts = Counter()
        self.made = 0
        in_transaction(self.look)

    def look(self):
        get = Pool().get
        places = {place.code: place.id for place in get('stock.location').search([('code', '!=', None)])}
        self.supplier, self.customer = places['SUP'], places['CUS']
        self.inside = [places[code] for code in ('STO', 'Silo', 'Shelf', 'Yard')]
        self.company = get('company.company').search([])[0].id
        self.currency = get('currency.currency').search([])[0].id
        units = {unit.name: unit.id for unit in get('product.uom').search([])}
        self.products = []
        for product in get('product.product').search([]):
            lots = [lot.id for lot in get('stock.lot').search([('product', '=', product.id)])]
            moved_in = [(units[name], digits) for name, digits in MOVED_IN[product.code]]
            self.products.append((product.id, lots or [None], moved_in))

    def values(self):
        """A move: from a supplier, to a customer, or within; of today, or entered late."""
        product, lots, units = self.random.choice(self.products)
        unit, digits = self.random.choice(units)
        from_, to = self.random.sample(self.inside, 2)
        way = self.random.random()
        if way < 0.35:
            from_ = self.supplier
        elif way < 0.6:
            to = self.customer
        return {
            'product': product, 'unit': unit, 'quantity': round(1 + self.random.uniform(0, 90), digits),
            'lot': self.random.choice(lots), 'from_location': from_, 'to_location': to, 'company': self.company,
            'unit_price': Decimal(2), 'currency': self.currency,
            'effective_date': TODAY - datetime.timedelta(days=self.random.choice([0, 0, 0, 1, 5, 9])),
        }

    def draft(self, count=1):
        self.made = count
        return Pool().get('stock.move').create([self.values() for _ in range(count)])

    def do_one(self):
        Pool().get('stock.move').do(self.draft())

    def do_many(self):
        Pool().get('stock.move').do(self.draft(self.random.randint(6, 20)))

    def leave_draft(self):
        self.draft(2)

    def do_drafts(self):
        """By whoever comes first, with other quantities than were drafted."""
        Move = Pool().get('stock.move')
        self.made = 0
        drafts = Move.search([('state', '=', 'draft')], limit=3)
        for move in drafts:
            Move.write([move], {'quantity': float(self.random.randint(1, 40))})
        Move.do(drafts)

    def delete(self):
        Pool().get('stock.move').delete(self.draft(2))

    def cancel(self):
        Pool().get('stock.move').cancel(self.draft())

    def cancel_done(self):
        Move = Pool().get('stock.move')
        self.made = 0
        done = Move.search([('state', '=', 'done'), ('origin', '=', None), ('shipment', '=', None)], limit=20)
        if done:
            Move.cancel([self.random.choice(done)])

    def assign(self):
        """Done if there is enough in the place, otherwise thrown away."""
        Move = Pool().get('stock.move')
        move, = self.draft()
        grouping = ('product', 'lot') if move.lot else ('product',)
        if Move.assign_try([move], grouping=grouping):
            # What was assigned may have been split over several moves.
            Move.do(Move.search([('state', '=', 'assigned')]))
        else:
            Move.delete(Move.search([('id', '=', move.id)]))

    def book_elsewhere(self):
        """Assigned, sent back to draft, and given another place before it is done."""
        Move = Pool().get('stock.move')
        move, = self.draft()
        Move.assign([move])
        Move.draft([move])
        taken = (move.from_location.id, move.to_location.id)
        Move.write([move], {'to_location': self.random.choice([p for p in self.inside if p not in taken])})
        Move.do([move])

    def ship(self):
        """An internal shipment, by its own buttons."""
        Shipment = Pool().get('stock.shipment.internal')
        from_, to = self.random.sample(self.inside, 2)
        shipment, = Shipment.create([{'company': self.company, 'from_location': from_, 'to_location': to}])
        self.made = 2
        Pool().get('stock.move').create([self.values() | {
            'from_location': from_, 'to_location': to, 'shipment': str(shipment), 'unit_price': None, 'currency': None,
        } for _ in range(2)])
        Shipment.wait([shipment])
        Shipment.assign_force([shipment])
        Shipment.done([shipment])

    def count_place(self):
        """A count sheet of one place; what was counted differs from what should be there."""
        Inventory, Move = Pool().get('stock.inventory'), Pool().get('stock.move')
        before = Move.search([], count=True)
        inventory, = Inventory.create([{
            'location': self.random.choice(self.inside), 'company': self.company, 'date': TODAY,
            'empty_quantity': 'keep',
        }])
        Inventory.complete_lines([inventory])
        for line in inventory.lines:
            if self.random.random() < 0.7:
                line.quantity = max(0.0, round(line.expected_quantity + self.random.randint(-5, 5), 2))
                line.save()
        Inventory.confirm([inventory])
        self.made = Move.search([], count=True) - before

    def work(self, moves):
        ways = {
            self.do_one: 20, self.do_many: 24, self.leave_draft: 8, self.do_drafts: 8, self.delete: 6, self.cancel: 6,
            self.cancel_done: 6, self.assign: 8, self.book_elsewhere: 6, self.ship: 6, self.count_place: 6,
        }
        while self.counts['moves'] < moves:
            way, = self.random.choices(list(ways), list(ways.values()))
            try:
                in_transaction(way, self.company, self.counts)
            except AccessError:
                # Of a period that is closed.
                self.counts['refused'] += 1
                continue
            self.counts['moves'] += self.made
            self.counts[way.__name__] += 1


def close(days):
    """From then on Tryton keeps its own sums of what lies before."""
    Period = Pool().get('stock.period')
    period, = Period.create([{'date': TODAY - datetime.timedelta(days=days)}])
    Period.close([period])


def forget_lot():
    """Its moves go on without one, those that are done too."""
    Lot = Pool().get('stock.lot')
    Lot.delete(Lot.search([], limit=1))


def see():
    get = Pool().get
    return {'moves': get('stock.move').search([], count=True), 'products': get('product.product').search([], count=True)}


def answer(day):
    """What Tryton tells, place by place: its table of quantities, and each product's and each lot's own quantity."""
    Location, Product, Lot = (Pool().get(name) for name in ('stock.location', 'product.product', 'stock.lot'))
    places = [place.id for place in Location.search([])]
    all_products, all_lots = Product.search([]), Lot.search([])
    products, lots = [], []
    with Transaction().set_context(stock_date_end=day):
        table = Product.products_by_location(places, grouping=('product', 'lot'))
        for place in places:
            with Transaction().set_context(locations=[place], with_childs=False):
                products += [[place, p.id, None, str(p.quantity)] for p in Product.browse(all_products)]
                lots += [[place, l.product.id, l.id, str(l.quantity)] for l in Lot.browse(all_lots)]
    return {
        'day': str(day), 'table': sorted(([*key, str(quantity)] for key, quantity in table.items()), key=str),
        'products': products, 'lots': lots,
    }


def main():
    command, *args = sys.argv[1:]
    if command == 'make':
        make()
        return
    Pool(DATABASE).init()
    if command == 'setup':
        in_transaction(setup)
    elif command == 'see':
        print(json.dumps(in_transaction(see)))
    elif command == 'work':
        worker = Worker(int(args[0]))
        worker.work(int(args[1]))
        print(json.dumps(worker.counts))
    else:
        company = in_transaction(lambda: Pool().get('company.company').search([])[0].id)
        days = int(args[0]) if args else 0
        if command == 'close':
            in_transaction(lambda: close(days), company)
        elif command == 'forget-lot':
            in_transaction(forget_lot, company)
        else:
            print(json.dumps(in_transaction(lambda: answer(TODAY - datetime.timedelta(days=days)), company)))


main()
